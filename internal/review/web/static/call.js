// The page of a call: player, waveform, keyboard shortcuts and live updates.
import { keys } from "/static/keys.js";
import { news } from "/static/news.js";
import { background, load, say, swap } from "/static/desk.js";
import { Player } from "/static/player.js";

const $ = (id) => document.getElementById(id);
const player = new Player();
window.callscreen = { player }; // for tests
const call = $("player").dataset.call;
let wave = null;

function clock(t) {
  const s = Math.floor(t % 60), m = Math.floor(t / 60) % 60, h = Math.floor(t / 3600);
  const two = (n) => String(n).padStart(2, "0");
  return (h ? `${h}:${two(m)}` : m) + `:${two(s)}.${Math.floor((t * 10) % 10)}`;
}

// read reads the segments from the table.
function read() {
  const segments = [...document.querySelectorAll("#segments tr[data-segment]")].flatMap((tr) => {
    const places = (tr.dataset.pieces || `0,${tr.dataset.from},${tr.dataset.to}`).split(";").map((p) => p.split(",").map(Number));
    return places.map(([at, from, to], i) => ({
      key: tr.dataset.segment + "/" + i, id: tr.dataset.segment, leg: tr.dataset.leg, at, from, to, src: tr.dataset.src || "", over: tr.dataset.kind === "over" && i === 0,
    }));
  });
  player.set(segments, Number($("player").dataset.duration));
  const some = segments.some((s) => s.src);
  $("player").hidden = !some;
  $("timeline").classList.toggle("js-on", some);
  for (const b of document.querySelectorAll("[data-play]")) b.hidden = false;
  drawWave();
  marked = "";
  show();
}

// show draws the position of the player.
function show() {
  const t = player.currentTime;
  $("player").dataset.currentTime = t.toFixed(3);
  $("clock").textContent = clock(t);
  if (document.activeElement !== $("seek") || player.playing) $("seek").value = t;
  $("seek").setAttribute("aria-valuetext", clock(t));
  $("play").setAttribute("aria-pressed", player.playing);
  $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  const x = player.duration > 0 ? (100 * t) / player.duration + "%" : "0%";
  for (const line of document.querySelectorAll("#timeline .playhead")) {
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
  mark(player.segments.filter((s) => s.src && t >= s.from && t < s.to).map((s) => s.id));
}

let marked = "";

// mark highlights the segments at the position of the player.
function mark(ids) {
  if (ids.join() === marked) return;
  marked = ids.join();
  for (const e of document.querySelectorAll(".now[data-segment]")) e.classList.remove("now");
  for (const id of ids) {
    for (const e of document.querySelectorAll(`[data-segment="${CSS.escape(id)}"]`)) e.classList.add("now");
  }
}

// jump goes to the next or previous segment over the threshold and plays it.
function jump(by) {
  const t = player.currentTime;
  const over = player.segments.filter((s) => s.over && s.src);
  const to = by > 0 ? over.find((s) => s.from > t + 0.05) || over[0] : over.findLast((s) => s.from < t - 1) || over.at(-1);
  if (!to) {
    say("No segment is over the threshold");
    return;
  }
  player.play(to.from);
  say(`${to.leg} at ${clock(to.from)}`);
}

// drawWave draws the peaks behind the segments.
function drawWave() {
  if (!wave) return;
  const svg = "http://www.w3.org/2000/svg";
  for (const lane of document.querySelectorAll("#timeline .lane")) {
    const leg = wave.legs.find((l) => l.leg === lane.dataset.leg);
    if (!leg) continue;
    const middle = 50, step = 1000 / leg.peaks.length;
    let d = "";
    leg.peaks.forEach((p, i) => {
      if (p < 0) return;
      const h = Math.max((p / 255) * 48, 0.5), x = (i * step).toFixed(1);
      d += `M${x} ${(middle - h).toFixed(1)}h${step.toFixed(2)}v${(2 * h).toFixed(1)}h-${step.toFixed(2)}z`;
    });
    const frame = document.createElementNS(svg, "svg");
    const path = document.createElementNS(svg, "path");
    path.setAttribute("d", d);
    frame.setAttribute("class", "wave");
    frame.setAttribute("viewBox", "0 0 1000 100");
    frame.setAttribute("preserveAspectRatio", "none");
    frame.setAttribute("y", lane.dataset.y);
    frame.setAttribute("width", "100%");
    frame.setAttribute("height", "84");
    frame.append(path);
    lane.querySelector(".wave-place").replaceChildren(frame);
  }
}

async function fetchWave() {
  for (let tries = 0; tries < 50; tries++) {
    const answer = await fetch(`/api/v1/calls/${encodeURIComponent(call)}/waveform?points=800`, { headers: background });
    if (!answer.ok) return;
    wave = await answer.json();
    wave.legs ||= [];
    drawWave();
    if (wave.complete) return;
  }
}

// dirty reports whether the user is editing the form. It must then not be replaced.
function dirty() {
  const note = $("note");
  return Boolean(note && (note.value || note === document.activeElement));
}

async function refresh() {
  const doc = await load(location.pathname);
  if (!doc) return;
  const theirs = doc.querySelector("#review input[name=version]")?.value, mine = document.querySelector("#review input[name=version]")?.value;
  if (theirs !== mine && dirty()) $("review-news").hidden = false;
  else if (!dirty()) swap(doc, "review");
  $("player").dataset.duration = doc.getElementById("player").dataset.duration;
  $("seek").max = $("player").dataset.duration;
  $("length").textContent = doc.getElementById("length").textContent;
  swap(doc, "tabs", "notice", "verdict", "timeline", "segments", "ledger", "history", "facts");
  backToList();
  hearLegs(doc);
  read();
  if (document.querySelector("#verdict .chip.live") || !wave?.complete) await fetchWave();
}

// hearLegs adds a checkbox for a new leg.
function hearLegs(doc) {
  const known = new Set([...document.querySelectorAll("[data-hear]")].map((i) => i.dataset.hear));
  for (const input of doc.querySelectorAll("[data-hear]")) {
    if (!known.has(input.dataset.hear)) $("skip").closest("label").before(input.closest("label"));
  }
}

function backToList() {
  $("back").href = sessionStorage.getItem("list") || "/";
}

export function start() {
  read();
  backToList();
  player.addEventListener("time", show);
  $("play").addEventListener("click", () => (player.playing ? player.pause() : player.play()));
  $("next").addEventListener("click", () => jump(1));
  $("prev").addEventListener("click", () => jump(-1));
  $("seek").addEventListener("input", () => { player.currentTime = Number($("seek").value); });
  $("player").addEventListener("change", (e) => {
    if (e.target.id === "skip") player.skipGaps = e.target.checked;
    if (e.target.dataset.hear) player.hear(e.target.dataset.hear, e.target.checked);
  });
  document.addEventListener("click", (e) => {
    const button = e.target.closest("[data-play]");
    const bar = e.target.closest("a.bar");
    const id = button?.dataset.play || bar?.dataset.segment;
    const s = id && player.segments.find((s) => s.id === id);
    if (s && s.src && (button || e.detail === 0)) { // with the keyboard a bar plays from its start
      e.preventDefault();
      player.play(s.from);
      return;
    }
    const lane = e.target.closest(".timeline svg");
    if (lane && !$("player").hidden) {
      e.preventDefault();
      const box = lane.getBoundingClientRect();
      player.play(((e.clientX - box.left) / box.width) * player.duration);
    }
  });
  const press = (selector) => document.querySelector(selector)?.click();
  const choose = (n) => {
    const button = document.querySelectorAll("#dispose .choice")[n];
    if (button && button.offsetParent) button.click();
  };
  keys({
    " ": () => $("play").click(), n: () => jump(1), p: () => jump(-1),
    ArrowLeft: () => { player.currentTime -= 5; }, ArrowRight: () => { player.currentTime += 5; },
    c: () => press("#claim"), u: () => press("#back"), 1: () => choose(0), 2: () => choose(1), 3: () => choose(2),
    j: () => {}, k: () => {},
  });
  $("next-call")?.focus();
  fetchWave();
  news("call=" + encodeURIComponent(call), refresh);
}
