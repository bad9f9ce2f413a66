// Keys for the pages of triage: they move between rows and groups, and save a decision. "?" lists
// them. On a page, only the keys of the elements that the page has do something.
const ROWS = "#result_list tbody th a, .csp-front tbody td.uri a";
const UNDO = "button[form=undo]";
const DECISION = document.querySelector("form[data-decision]");

function move(step) {
    const links = [...document.querySelectorAll(ROWS)];
    const at = links.indexOf(document.activeElement);
    links[Math.min(Math.max(at + step, 0), links.length - 1)]?.focus();
}

function decide(state, days = 0) {
    DECISION.elements.state.value = state;
    if (days) {
        DECISION.elements.ignored_until.valueAsNumber = Date.now() + days * 86_400_000;
    }
    DECISION.requestSubmit(DECISION.querySelector("[name=go_on]"));
}

const KEYS = [
    ["j", "Next row", () => move(1), () => document.querySelector(ROWS)],
    ["k", "Previous row", () => move(-1), () => document.querySelector(ROWS)],
    ["Enter", "Open the row", null, () => document.querySelector(ROWS)],
    ["n", "Next group", () => document.getElementById("next-group").click(), () => document.getElementById("next-group")],
    ["p", "Previous group", () => document.getElementById("previous-group").click(), () => document.getElementById("previous-group")],
    ["a", "Acknowledge, and open the next group", () => decide("acknowledged"), () => DECISION],
    ["i", "Ignore for 30 days, and open the next group", () => decide("ignored", 30), () => DECISION],
    ["r", "Resolve, and open the next group", () => decide("resolved"), () => DECISION],
    ["u", "Undo the last decision", () => document.querySelector(UNDO).click(), () => document.querySelector(UNDO)],
];

function help() {
    const dialog = document.createElement("dialog");
    dialog.className = "keys";
    const list = document.createElement("dl");
    for (const [key, text, , isHere] of KEYS) {
        if (isHere()) {
            const name = document.createElement("dt");
            const about = document.createElement("dd");
            name.append(Object.assign(document.createElement("kbd"), { textContent: key }));
            about.textContent = text;
            list.append(name, about);
        }
    }
    const title = Object.assign(document.createElement("h2"), { textContent: "Keys" });
    const close = Object.assign(document.createElement("button"), { textContent: "Close", type: "button" });
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    dialog.append(title, list, close);
    document.body.append(dialog);
    dialog.showModal();
}

document.getElementById("show-keys")?.addEventListener("click", help);

document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea, dialog");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) {
        return;
    }
    if (event.key === "?") {
        help();
    }
    const found = KEYS.find(([key, , act, isHere]) => key === event.key && act && isHere());
    if (found) {
        event.preventDefault();
        found[2]();
    }
});
