// News from the server, by server-sent events. The browser connects again by itself, and says what it had last.
const names = ["call.moved", "call.decided", "call.resumed", "call.erased", "call.audio_deleted", "segment.scored", "segment.failed", "segment.resent",
  "segment.surplus_job", "segment.sent_cleaned", "review.changed", "webhook.replayed", "reset"];

// news calls changed, not more often than every half second, when something has happened that the page shows. It waits
// while nobody looks at the page.
export function news(query, changed) {
  const link = document.getElementById("link");
  let after = document.body.dataset.after;
  let timer = 0, source = null, wanted = false, busy = false;

  const soon = () => {
    wanted = true;
    if (!timer && !document.hidden) timer = setTimeout(run, 150);
  };
  const run = async () => {
    timer = 0;
    if (busy || !wanted) return;
    wanted = false;
    busy = true;
    try {
      await changed();
    } catch (e) {
      console.warn(e); // the next news try again
    }
    busy = false;
    if (wanted) timer = setTimeout(run, 500);
  };
  const connect = () => {
    const q = new URLSearchParams(query);
    if (after) q.set("after", after);
    source = new EventSource("/api/v1/events?" + q);
    source.onopen = () => { link.hidden = true; };
    source.onerror = () => {
      link.textContent = "Connecting again…";
      link.hidden = false;
      if (source.readyState === EventSource.CLOSED) { // refused: by a proxy, or because we are signed out
        source.close();
        setTimeout(() => { connect(); soon(); }, 5000);
      }
    };
    for (const name of names) {
      source.addEventListener(name, (e) => {
        if (e.lastEventId) after = e.lastEventId;
        soon();
      });
    }
  };
  connect();
  // Browsers allow a handful of connections to a server: pages that nobody looks at give theirs up.
  let leaving = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (document.hidden) {
      leaving = setTimeout(() => source.close(), 10_000);
      return;
    }
    if (source.readyState === EventSource.CLOSED) connect();
    soon();
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (e) => { if (e.persisted) { connect(); soon(); } });
  if (query.length === 0) setInterval(soon, 60_000); // "waiting 4 min" grows by itself
}
