// The list of calls: live updates, and selection with j and k.
import { keys } from "/static/keys.js";
import { news } from "/static/news.js";
import { load, say, swap } from "/static/desk.js";

const rows = () => [...document.querySelectorAll("#list a.row")];

function move(by) {
  const all = rows();
  if (all.length === 0) return;
  const at = all.indexOf(document.activeElement);
  const to = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  to.focus();
  to.closest("tr").scrollIntoView({ block: "nearest" });
}

export function start() {
  sessionStorage.setItem("list", location.pathname + location.search);
  keys({
    j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
    "/": () => document.getElementById("q").focus(),
  });
  news("", async () => {
    const before = Number.parseInt(document.getElementById("count-waiting").textContent, 10);
    const doc = await load();
    if (!doc) return;
    swap(doc, "tabs", "notice", "list");
    const now = Number.parseInt(document.getElementById("count-waiting").textContent, 10);
    if (now > before) say(`${now} calls wait for review`);
  });
}
