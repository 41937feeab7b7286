// Shared by all pages: local times, keyboard shortcuts, help and live updates. The pages work without scripts too.
import { keys } from "/static/keys.js";
import { news } from "/static/news.js";

document.documentElement.classList.add("js");

// Times arrive in UTC and are shown in local time. The title keeps the original text.
export function localTimes(root) {
  const two = (n) => String(n).padStart(2, "0");
  for (const t of root.querySelectorAll("time[datetime]")) {
    const d = new Date(t.dateTime);
    if (isNaN(d)) continue;
    t.title = t.textContent;
    t.textContent = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  }
}

// say announces a text to screen readers.
export function say(text) {
  document.getElementById("say").textContent = text;
}

// Requests without user action do not extend the session.
export const background = { "Callscreen-Background": "1" };

// load fetches the current page. After a sign-out it shows the sign-in page, and after an erasure the missing call.
export async function load(url = location.href) {
  const answer = await fetch(url, { headers: { Accept: "text/html", ...background }, cache: "no-store" });
  if (answer.redirected || [401, 403, 404].includes(answer.status)) {
    location.reload();
    return null;
  }
  if (!answer.ok) return null;
  const doc = new DOMParser().parseFromString(await answer.text(), "text/html");
  localTimes(doc);
  return doc;
}

// swap replaces parts of the page by those of a loaded page. The focus stays on the element with the same id or link.
export function swap(doc, ...ids) {
  for (const id of ids) {
    const mine = document.getElementById(id);
    const theirs = doc.getElementById(id);
    if (!mine || !theirs || mine.innerHTML === theirs.innerHTML) continue;
    const focused = mine.contains(document.activeElement) && document.activeElement;
    const href = focused && focused.getAttribute("href");
    const open = new Set([...mine.querySelectorAll("details")].map((d, i) => (d.open ? i : -1)));
    mine.replaceChildren(...theirs.childNodes);
    mine.querySelectorAll("details").forEach((d, i) => { if (open.has(i)) d.open = true; });
    if (href) {
      for (const a of mine.querySelectorAll("a[href]")) {
        if (a.getAttribute("href") === href) { a.focus({ preventScroll: true }); break; }
      }
    }
  }
}

localTimes(document);

const help = document.getElementById("help");
const opener = document.getElementById("help-open");
opener.hidden = false;
opener.addEventListener("click", () => help.showModal());
keys({ "?": () => help.showModal() });

// Keyboard shortcuts can be turned off, for users of speech input.
const on = document.getElementById("keys-on");
on.checked = localStorage.getItem("keys") !== "off";
on.addEventListener("change", () => localStorage.setItem("keys", on.checked ? "on" : "off"));

const page = document.body.dataset.page;
if (page === "list") import("/static/list.js").then((m) => m.start());
if (page === "call") import("/static/call.js").then((m) => m.start());
export { news };
