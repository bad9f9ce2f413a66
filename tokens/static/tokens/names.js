'use strict';
// Uses the label of a searchable list as its accessible name. By default, Select2 uses the selected
// option.
window.addEventListener('load', () => django.jQuery(() => {
    for (const list of document.querySelectorAll('select.admin-autocomplete')) {
        const label = document.querySelector(`label[for="${list.id}"]`);
        for (const part of list.parentElement.querySelectorAll('[role=combobox], [role=textbox]')) {
            part.setAttribute('aria-label', label.textContent);
        }
    }
}));
