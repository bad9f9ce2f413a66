// Copies the value of an input field. Browsers allow the clipboard API only in secure contexts.
async function copy(field) {
    field.select();
    try {
        await navigator.clipboard.writeText(field.value);
        return true;
    } catch {
        return document.execCommand("copy");
    }
}

for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
        const done = await copy(document.getElementById(button.dataset.copy));
        button.textContent = done ? "Copied" : "Press Ctrl+C to copy";
    });
}
