// Loads the page again after the seconds in `data-reload`, for a page that waits for something. A
// <meta> element would do the same, but a reader could not stop it.
const waiting = document.querySelector("[data-reload]");
if (waiting) {
    const timer = setTimeout(() => location.reload(), 1000 * Number(waiting.dataset.reload));
    document.getElementById("stop-waiting").addEventListener("click", (event) => {
        clearTimeout(timer);
        event.target.remove();
    });
}
