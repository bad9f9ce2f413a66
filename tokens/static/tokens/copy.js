'use strict';
// Shows the copy buttons, which need JavaScript. Without it people select the text and copy it.
for (const button of document.querySelectorAll('[data-copies]')) {
    const field = document.getElementById(button.dataset.copies);
    button.hidden = false;
    button.addEventListener('click', async () => {
        field.select();
        // Over plain http, away from localhost, a browser has no clipboard object.
        const copied = navigator.clipboard
            ? await navigator.clipboard.writeText(field.value).then(() => true, () => false)
            : document.execCommand('copy');
        document.getElementById('copied').textContent = copied ? 'Copied.' : 'Press Ctrl+C to copy.';
    });
}
