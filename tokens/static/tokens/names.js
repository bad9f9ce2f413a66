'use strict';
// Names the parts of a searchable list for screen readers. Select2 names them by what is chosen.
window.addEventListener('load', () => django.jQuery(() => {
    for (const list of document.querySelectorAll('select.admin-autocomplete')) {
        const label = document.querySelector(`label[for="${list.id}"]`);
        for (const part of list.parentElement.querySelectorAll('[role=combobox], [role=textbox]')) {
            part.setAttribute('aria-label', label.textContent);
        }
    }
}));
