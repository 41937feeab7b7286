// Plays the story of a call in Chromium: node story.js, with what it needs as JSON in STORY. It prints what it has seen as
// JSON, and fails at the first thing that is not as it should be.
const { chromium } = require('playwright-core');
const axe = require('axe-core');
const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const story = JSON.parse(process.env.STORY); // base, plain, many, program, synthetic, human, silent, tokens, data, shots
const seen = { pages: [], violations: [], strangers: [], console: [] };
const started = [];
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

function must(ok, what) {
  if (!ok) throw new Error(what);
}

async function until(what, check, ms = 30000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    must(Date.now() < end, 'timeout: ' + what);
    await new Promise((r) => setTimeout(r, 50));
  }
}

async function browser(options = {}) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'callscreen-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    viewport: { width: 1366, height: 860 },
    timezoneId: 'Europe/Berlin',
    args: flags,
    ...options,
  });
  context.on('request', (r) => {
    const u = new URL(r.url());
    if (u.protocol !== 'data:' && ![story.base, story.plain, story.many].includes(u.origin)) seen.strangers.push(r.url());
  });
  // What is played can be asked how far it is.
  await context.addInitScript(() => {
    const Real = window.Audio;
    window.playing = [];
    window.Audio = function (src) { const a = new Real(src); window.playing.push(a); return a; };
  });
  started.push(async () => { await context.close(); fs.rmSync(profile, { recursive: true, force: true }); });
  const page = await context.newPage();
  page.on('pageerror', (e) => seen.console.push('error: ' + e.message));
  page.on('console', (m) => {
    // A page that says 404 or 409 is a page; the browser notes it all the same, and what it makes of plain connections.
    if (['error', 'warning'].includes(m.type()) && !/status of (404|409)|Cross-Origin-Opener-Policy header has been ignored/.test(m.text())) seen.console.push(m.text());
  });
  return page;
}

async function signIn(page, token, to = '/') {
  await page.goto(story.base + to);
  must(new URL(page.url()).pathname === '/login', 'nobody is asked to sign in at ' + to);
  await page.fill('input[name=token]', token);
  await page.press('input[name=token]', 'Enter');
  await page.waitForURL((u) => u.pathname !== '/login');
}

// look takes pictures of a page in light, dark and on a phone, and asks axe about it in light and dark.
async function look(page, name, picture = true) {
  seen.pages.push(name);
  for (const [shade, size] of [['light', [1366, 860]], ['dark', [1366, 860]], ['phone', [390, 844]]]) {
    await page.emulateMedia({ colorScheme: shade === 'dark' ? 'dark' : 'light', reducedMotion: 'reduce' });
    await page.setViewportSize({ width: size[0], height: size[1] });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    const wide = over > 0 && await page.evaluate(() => [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(-3).map((e) => e.outerHTML.slice(0, 200)));
    must(over <= 0, `${name} on ${shade} is ${over} px wider than the window: ${wide}`);
    if (picture) await page.screenshot({ path: path.join(story.shots, `${name}-${shade}.png`), fullPage: true });
    const found = await page.evaluate(async (source) => {
      if (!window.axe) (0, eval)(source);
      const r = await window.axe.run(document, { resultTypes: ['violations'] });
      return r.violations.map((v) => ({ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 5).map((n) => n.html.slice(0, 200) + ' :: ' + (n.any[0]?.message || '')) }));
    }, axe.source);
    for (const v of found) seen.violations.push({ page: name, shade, ...v });
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1366, height: 860 });
}

function publish(file, to) {
  const child = spawn(story.program, ['publish', file, '--to', story.base + '/whip/' + to], { env: { ...process.env, CALLSCREEN_INGEST_TOKEN: story.tokens.pbx } });
  let said = '';
  child.stdout.on('data', (d) => { said += d; });
  child.stderr.on('data', (d) => { said += d; });
  return new Promise((resolve, reject) => child.on('exit', (code) => (code === 0 ? resolve(said) : reject(new Error('publish: ' + said)))));
}

const rowOf = (call) => `tr[data-call="${call}"]`;

(async () => {
  const anna = await browser();
  await anna.goto(story.base + '/?tab=all');
  await look(anna, 'login');
  await signIn(anna, story.tokens.anna, '/?tab=all');
  must(/No call yet/.test(await anna.textContent('#list')), 'the list is empty in the beginning');
  await look(anna, 'empty');
  await anna.evaluate(() => { window.never = 'reloaded'; });

  // A call arrives in the open list, and is flagged there, while it is live.
  const call = 'story-1';
  const calls = [publish(story.synthetic, call + '/caller?queue=payments&from=%2B49301234567'), publish(story.human, call + '/agent?queue=payments&from=%2B49301234567'), publish(story.silent, 'ringing/caller?queue=sales')];
  const begun = Date.now();
  await anna.waitForSelector(rowOf(call), { timeout: 10000 });
  seen.arrived_ms = Date.now() - begun;
  await anna.waitForSelector(rowOf(call) + ' .chip.flagged', { timeout: 20000 });
  seen.flagged_ms = Date.now() - begun;
  must(await anna.isVisible(rowOf(call) + ' .chip.live'), 'the call is flagged while it is live');
  must((await anna.evaluate(() => window.never)) === 'reloaded', 'the page was not loaded again');
  await look(anna, 'live');

  // With the keyboard to the call.
  await until('the call has the focus', async () => {
    await anna.keyboard.press('j');
    return anna.evaluate((c) => document.activeElement.closest('tr')?.dataset.call === c, call);
  });
  await anna.keyboard.press('Enter');
  await anna.waitForURL(story.base + '/calls/' + call);
  await anna.evaluate(() => { window.never = 'reloaded'; });
  await look(anna, 'call-live');
  await Promise.all(calls);
  await until('the page shows that the call has ended', () => anna.evaluate(() => !document.querySelector('#verdict .chip.live')));
  must((await anna.evaluate(() => window.never)) === 'reloaded', 'the page of the call was not loaded again');
  await until('the waveform is drawn', () => anna.evaluate(() => [...document.querySelectorAll('#timeline .wave path')].filter((p) => p.getAttribute('d').length > 100).length === 2));
  await look(anna, 'call-waiting');
  if (story.picture) {
    await anna.setViewportSize({ width: 1200, height: 800 });
    await anna.screenshot({ path: story.picture });
    await anna.setViewportSize({ width: 1366, height: 860 });
  }

  // What is heard is what scored high, at its place in the call.
  const over = await anna.evaluate(() => [...document.querySelectorAll('#segments tr[data-kind=over]')].map((t) => ({ id: t.dataset.segment, from: Number(t.dataset.from), to: Number(t.dataset.to), src: t.dataset.src })));
  must(over.length >= 2, 'there are segments over the threshold');
  await anna.keyboard.press('n');
  const ticking = (s) => until('it plays within ' + s.id, () => anna.evaluate((s) => {
    const p = window.callscreen.player, a = window.playing.find((a) => !a.paused && a.src.endsWith(s.src));
    return p.playing && a && a.currentTime > 0.2 && p.currentTime > s.from && p.currentTime < s.to && { call: p.currentTime, audio: a.currentTime, again: p.currentTime, shown: document.getElementById('clock').textContent };
  }, s), 10000);
  const first = await ticking(over[0]);
  must(Math.abs(first.call - over[0].from - first.audio) < 0.1, `at ${first.call} s of the call the audio from ${over[0].from} is at ${first.audio}`);
  await anna.keyboard.press('n');
  const second = await ticking(over[1]);
  must(Math.abs(second.call - over[1].from - second.audio) < 0.1, `at ${second.call} s of the call the audio from ${over[1].from} is at ${second.audio}`);
  await anna.keyboard.press('p');
  await ticking(over[0]);
  await anna.keyboard.press(' ');
  must(!(await anna.evaluate(() => window.callscreen.player.playing)), 'Space pauses');
  // From any point: a click in the drawing.
  const box = await anna.locator('#timeline svg').first().boundingBox();
  const duration = await anna.evaluate(() => window.callscreen.player.duration);
  const at = over[1].from + 2.5;
  await anna.mouse.click(box.x + (box.width * at) / duration, box.y + box.height - 60);
  const clicked = await ticking(over[1]);
  must(clicked.call >= at - 0.2 && clicked.call < at + 4, `a click at ${at} s plays at ${clicked.call} s`);
  await anna.keyboard.press(' ');
  seen.played = { from: over[1].from, call: clicked.call, audio: clicked.audio, shown: clicked.shown };
  // And the samples there are those that were recorded.
  const rate = 16000, offset = 44 + 2 * Math.round(2.5 * rate), length = 2 * rate;
  const served = await anna.evaluate(async ([src, from, to]) => {
    const r = await fetch(src, { headers: { Range: `bytes=${from}-${to}` } });
    return { status: r.status, bytes: [...new Uint8Array(await r.arrayBuffer())] };
  }, [over[1].src, offset, offset + length - 1]);
  const id = over[1].id;
  const file = fs.readFileSync(path.join(story.data, 'audio', id.slice(9, 11), id + '.wav'));
  must(served.status === 206 && Buffer.from(served.bytes).equals(file.subarray(offset, offset + length)), 'the samples served are those of the file');
  must(file.subarray(offset, offset + length).some((b) => b !== 0), 'and they are no silence');
  seen.compared_bytes = length;

  // A second analyst writes a note while the first decides.
  const bob = await browser();
  await signIn(bob, story.tokens.bob, '/calls/' + call);
  await bob.fill('#note', 'sounds human to me');
  await anna.keyboard.press('c');
  await anna.waitForURL(/done=claim/);
  must(/have claimed this call until/.test(await anna.textContent('#review')), 'the call is claimed');
  await until('the second analyst is told', () => bob.isVisible('#review-news'));
  await look(bob, 'call-news');
  await anna.fill('#note', 'no breath, and a metallic ring at the end of each word');
  await anna.keyboard.press('Escape');
  await anna.keyboard.press('1');
  await anna.waitForURL(/done=dispose/);
  must(/Your decision is saved/.test(await anna.textContent('main')), 'the decision is kept');
  const [refused] = await Promise.all([bob.waitForResponse((r) => r.request().method() === 'POST'), bob.click('button[value=false_alarm]')]);
  seen.stale = refused.status();
  must(refused.status() === 409, 'a stale edit is refused, not ' + refused.status());
  const told = await bob.textContent('main');
  must(/Confirmed synthetic/.test(told) && /by anna/.test(told) && /sounds human to me/.test(told), 'the other decision is shown, and what was written is not lost: ' + told);
  await look(bob, 'conflict');
  await bob.click('.message a.button');
  await bob.click('#review summary');
  await bob.fill('#note', 'heard it again: agreed, but the line is bad');
  await bob.click('button[value=unsure]');
  await bob.waitForURL(/done=dispose/);
  const history = await bob.textContent('#history');
  must(/anna claimed the call/.test(history) && /anna decided: Confirmed synthetic/.test(history) && /bob corrected the decision from Confirmed synthetic to Unsure/.test(history), 'the history shows both: ' + history);
  await look(bob, 'call-closed');
  await anna.goto(story.base + '/?tab=unscreened');
  await anna.waitForSelector(rowOf('ringing'));
  await look(anna, 'unscreened');
  await anna.goto(story.base + '/?tab=all');
  await look(anna, 'all');
  await anna.goto(story.base + '/calls/ringing');
  await look(anna, 'call-unscreened');
  await anna.keyboard.press('?');
  must(await anna.isVisible('#help'), '? shows the keys');
  await look(anna, 'help');
  await anna.keyboard.press('Escape');
  await anna.goto(story.base + '/backtest');
  await anna.fill('input[name=threshold]', '0.95');
  await anna.click('button:has-text("Run backtest")');
  await anna.waitForSelector('img.curve');
  must(/calls would change/.test(await anna.textContent('main')), 'another policy is tried');
  must(await anna.evaluate(() => document.querySelector('img.curve').naturalWidth > 0), 'the curve is drawn');
  await look(anna, 'backtest');
  await anna.goto(story.base + '/calls/nothing');
  await look(anna, 'none');

  // Without scripts: everything but news and the waveform.
  const vera = await browser({ javaScriptEnabled: false });
  await signIn(vera, story.tokens.anna, '/');
  await vera.click(rowOf('ringing') + ' a.row');
  must((await vera.locator('#segments tbody tr').count()) >= 1 && !(await vera.isVisible('#player')), 'the segments are there, the player is not');
  await vera.click('button[value=claim]');
  await vera.waitForURL(/done=claim/);
  await vera.fill('#note', 'it only rang');
  await vera.screenshot({ path: path.join(story.shots, 'no-scripts-light.png'), fullPage: true });
  await vera.click('button[value=unsure]');
  await vera.waitForURL(/done=dispose/);
  must(/it only rang/.test(await vera.textContent('#history')), 'a form works without scripts');
  await vera.goto(story.base + '/calls/' + call);
  must((await vera.locator('#segments audio[controls]').count()) >= 4 && (await vera.locator('#timeline a.bar').count()) >= 4, 'each segment can be heard without scripts');
  await vera.goto(story.base + '/?tab=all&q=story');
  must((await vera.locator('#list a.row').count()) === 1, 'the search works without scripts');
  await vera.click('button:has-text("Sign out")');
  await vera.waitForURL(/login/);
  await vera.goto(story.base + '/');
  must(/\/login/.test(vera.url()), 'signed out is signed out');

  // Over a plain connection to another name browsers tell less of where a request comes from. Forms work all the same.
  const plain = await browser({ args: flags.concat('--host-resolver-rules=MAP calls.test 127.0.0.1') });
  await plain.goto(story.plain + '/calls/' + call);
  must(!(await plain.evaluate(() => window.isSecureContext)), 'the connection counts as plain');
  await plain.fill('input[name=token]', story.tokens.bob);
  await plain.press('input[name=token]', 'Enter');
  await plain.waitForSelector('#verdict');
  await plain.click('button:has-text("Sign out")');
  await plain.waitForURL(/login/);

  // Ten thousand calls wait.
  if (story.many) {
    const many = await browser();
    await many.goto(story.many + '/login');
    await many.fill('input[name=token]', story.tokens.anna);
    await many.press('input[name=token]', 'Enter');
    await many.waitForSelector('#list a.row');
    const paints = [];
    for (let i = 0; i < 5; i++) {
      await many.goto(story.many + '/');
      paints.push(await until('something is painted', () => many.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime)));
    }
    seen.first_paint_ms = Math.round(paints.sort((a, b) => a - b)[2]);
    seen.many = await many.textContent('#count-waiting');

    // Gaps of each kind stand in the drawing and in the text, and a packed segment plays in its places.
    await many.goto(story.many + '/calls/ledger');
    await until('the waveform is drawn', () => many.evaluate(() => [...document.querySelectorAll('#timeline .wave path')].some((p) => p.getAttribute('d').length > 100)));
    await many.click('#ledger summary');
    await many.evaluate(() => scrollTo(0, 0)); // for the pictures
    await look(many, 'call-ledger');
    for (const kind of ['lost', 'paused', 'unrecorded', 'unread', 'absent']) {
      must((await many.locator(`#timeline g.gap.${kind}`).count()) === 1, 'a gap is drawn as ' + kind);
      must(await many.isVisible(`.legend .gap.${kind}`), 'the legend has ' + kind);
    }
    must(/paused by anna, resumed by bob/.test(await many.textContent('#ledger')), 'the pause names the persons');
    must((await many.locator('#timeline a.bar[data-segment=packed] rect.fill').count()) === 3, 'the packed segment has three pieces');
    for (const [at, audio] of [[4.5, 0.5], [16, 3], [40.2, 5.2]]) {
      await many.evaluate((at) => window.callscreen.player.play(at), at);
      const heard = await until('the piece at ' + at + ' s plays', () => many.evaluate((at) => {
        const p = window.callscreen.player, a = window.playing.find((a) => !a.paused && a.currentTime > 0);
        return p.playing && a && p.currentTime > at + 0.1 && { call: p.currentTime, audio: a.currentTime };
      }, at), 10000);
      must(Math.abs(heard.call - at - (heard.audio - audio)) < 0.1, `at ${heard.call} s of the call the audio is at ${heard.audio} s`);
    }
    await many.evaluate(() => window.callscreen.player.pause());
    await many.evaluate(() => {
      const p = window.callscreen.player;
      window.places = [];
      p.addEventListener('time', () => window.places.push(p.currentTime));
      p.play(5.5);
    });
    await until('the next piece follows', () => many.evaluate(() => window.places.some((t) => t > 15.2 && t < 18)));
    must(!(await many.evaluate(() => window.places.some((t) => t > 7 && t < 14))), 'the gap before the next piece is skipped');
    await many.evaluate(() => window.callscreen.player.pause());
  }
})().then(() => { seen.ok = true; }, (e) => { seen.problem = e.stack; }).finally(async () => {
  for (const stop of started) await stop().catch(() => {});
  console.log(JSON.stringify(seen));
  process.exit(seen.ok ? 0 : 1);
});
