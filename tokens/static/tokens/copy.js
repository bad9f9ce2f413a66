'use strict';
// Shows the copy buttons. They are hidden in the HTML, because they need JavaScript.
for (const button of document.querySelectorAll('[data-copies]')) {
    const field = document.getElementById(button.dataset.copies);
    button.hidden = false;
    button.addEventListener('click', async () => {
        field.select();
        // Browsers have no clipboard object over plain http, except on localhost.
        const copied = navigator.clipboard
            ? await navigator.clipboard.writeText(field.value).then(() => true, () => false)
            : document.execCommand('copy');
        document.getElementById('copied').textContent = copied ? 'Copied.' : 'Press Ctrl+C to copy.';
    });
}
