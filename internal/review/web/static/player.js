// The player of a call: it maps the time of the call to the segments of its legs, and keeps them in step. Between
// segments the time advances by the clock, or jumps if gaps are skipped.
export class Player extends EventTarget {
  #segments = [];
  #audio = new Map(); // by key of the segment
  #time = 0;
  #playing = false;
  #since = 0; // last reading of the clock
  #timer = 0;
  #deaf = new Set(); // muted legs
  duration = 0;
  skipGaps = true;

  // set replaces the segments: {key, id, leg, at, from, to, src, over}. A packed segment has an entry for each of its pieces,
  // with the same id and the place of the piece in the audio, at.
  set(segments, duration) {
    this.#segments = segments;
    this.duration = duration;
  }

  get segments() { return this.#segments; }
  get playing() { return this.#playing; }

  // currentTime returns the position in the call, in seconds.
  get currentTime() {
    const lead = this.#lead();
    return lead ? lead.segment.from - lead.segment.at + lead.audio.currentTime : this.#time;
  }
  set currentTime(t) {
    this.#time = Math.min(Math.max(t, 0), this.duration);
    for (const s of this.#segments) {
      const a = this.#audio.get(s.key);
      if (!a) continue;
      if (this.#covers(s, this.#time)) a.currentTime = this.#time - s.from + s.at;
      else a.pause();
    }
    this.#since = performance.now();
    this.#step();
    this.#tell();
  }

  hear(leg, yes) {
    if (yes) this.#deaf.delete(leg); else this.#deaf.add(leg);
    for (const s of this.#segments) {
      const a = this.#audio.get(s.key);
      if (a) a.muted = this.#deaf.has(s.leg);
    }
    this.#step();
  }

  play(from) {
    this.#playing = true;
    if (from !== undefined) this.currentTime = from;
    else if (this.#time >= this.duration - 0.05) this.currentTime = 0;
    this.#since = performance.now();
    this.#step();
    if (!this.#timer) this.#timer = setInterval(() => this.#step(), 40);
    this.#tell();
  }

  pause() {
    this.#time = this.currentTime;
    this.#playing = false;
    clearInterval(this.#timer);
    this.#timer = 0;
    for (const a of this.#audio.values()) a.pause();
    this.#tell();
  }

  #covers(s, t) { return s.src && t >= s.from && t < s.to; }

  // element returns the audio element of a segment; only a few are cached.
  #element(s) {
    let a = this.#audio.get(s.key);
    if (!a) {
      a = new Audio(s.src);
      a.preload = "auto";
      a.muted = this.#deaf.has(s.leg);
      this.#audio.set(s.key, a);
      for (const [key, old] of this.#audio) {
        if (this.#audio.size <= 8) break;
        if (key !== s.key && old.paused) { old.removeAttribute("src"); old.load(); this.#audio.delete(key); }
      }
    }
    return a;
  }

  // lead returns the segment whose audio sets the time.
  #lead() {
    for (const s of this.#segments) {
      const a = this.#audio.get(s.key);
      if (a && this.#playing && !a.paused && !a.ended && a.readyState >= 2 && this.#covers(s, this.#time)) return { segment: s, audio: a };
    }
    return null;
  }

  #step() {
    const now = performance.now();
    if (this.#playing) {
      const lead = this.#lead();
      const waiting = !lead && this.#segments.some((s) => this.#covers(s, this.#time) && !this.#audio.get(s.key)?.error);
      if (lead) this.#time = lead.segment.from - lead.segment.at + lead.audio.currentTime;
      else if (!waiting) this.#time += (now - this.#since) / 1000;
      // The end of a file may come a little before that of its segment.
      for (const s of this.#segments) {
        const a = this.#audio.get(s.key);
        if (a && a.ended && this.#covers(s, this.#time)) this.#time = s.to;
      }
    }
    this.#since = now;
    const here = this.#segments.filter((s) => this.#covers(s, this.#time));
    for (const s of here) {
      const a = this.#element(s);
      const offset = this.#time - s.from + s.at;
      if (a.paused && !a.ended) {
        if (Math.abs(a.currentTime - offset) > 0.05) a.currentTime = offset;
        if (this.#playing) a.play().catch((e) => { if (e.name === "NotAllowedError") this.pause(); });
      } else if (s !== here[0] && Math.abs(a.currentTime - offset) > 0.15) {
        a.currentTime = offset; // the legs stay in step
      }
    }
    for (const s of this.#segments) {
      const a = this.#audio.get(s.key);
      if (a && !a.paused && !here.includes(s)) a.pause();
    }
    if (this.#playing && here.length === 0) this.#between();
    if (this.#playing) this.#tell();
  }

  // between advances the time where there is no audio.
  #between() {
    const next = this.#segments.filter((s) => s.src && s.from >= this.#time && !this.#deaf.has(s.leg)).sort((a, b) => a.from - b.from)[0];
    if (next && this.skipGaps && next.from - this.#time > 0.7) this.currentTime = next.from - 0.3;
    else if (!next && (this.skipGaps || this.#time >= this.duration)) {
      this.#time = this.duration;
      this.pause();
    }
  }

  #tell() { this.dispatchEvent(new Event("time")); }
}
