// Live updates by server-sent events. The browser reconnects automatically with the id of the last event.
const names = ["call.moved", "call.decided", "call.resumed", "call.erased", "call.audio_deleted", "segment.scored", "segment.failed", "segment.resent",
  "segment.held", "segment.resend_ordered", "segment.surplus_job", "segment.recovered", "segment.sent_cleaned", "review.changed", "webhook.replayed",
  "reset"];

// news calls changed after a relevant event, at most every half second. It waits while the page is hidden.
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
      console.warn(e); // retried at the next event
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
      if (source.readyState === EventSource.CLOSED) { // refused by a proxy, or after a sign-out
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
  // Browsers allow few connections per server, so hidden pages close theirs.
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
  if (query.length === 0) setInterval(soon, 60_000); // update ages such as "waiting 4 min"
}
