// Keyboard shortcuts. They are ignored in text fields, and can be turned off in the help.
const bound = new Map();

export function keys(map) {
  for (const [key, run] of Object.entries(map)) bound.set(key, run);
}

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || localStorage.getItem("keys") === "off") return;
  if (document.querySelector("dialog[open]")) return;
  const at = e.target;
  const writes = at.isContentEditable || /^(TEXTAREA|SELECT)$/.test(at.tagName) || (at.tagName === "INPUT" && !/^(checkbox|range)$/.test(at.type));
  if (writes) {
    if (e.key === "Escape") at.blur();
    return;
  }
  const presses = /^(BUTTON|A|SUMMARY)$/i.test(at.tagName) || (at.tagName === "INPUT" && at.type === "checkbox");
  if (presses && (e.key === " " || e.key === "Enter") && !(at.tagName.toLowerCase() === "a" && e.key === " ")) return; // the focused element handles the key
  if (at.tagName === "INPUT" && at.type === "range" && e.key.startsWith("Arrow")) return;
  const run = bound.get(e.key);
  if (!run) return;
  e.preventDefault();
  run(e);
});
