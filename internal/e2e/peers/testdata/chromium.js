// Publishes a WAV file from Chromium: node chromium.js PAGE WHIP-URL FILE SECONDS trickle|plain
const { chromium } = require('playwright-core');
const fs = require('fs');
const os = require('os');
const path = require('path');

const [page, whip, file, seconds, mode] = process.argv.slice(2);

(async () => {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', '--use-file-for-fake-audio-capture=' + file + '%noloop'],
  });
  try {
    const tab = await context.newPage();
    await tab.goto(page);
    await tab.evaluate(([url, trickle]) => publish(url, trickle), [whip, mode === 'trickle']);
    await tab.waitForTimeout(1000 * Number(seconds));
    console.log(JSON.stringify(await tab.evaluate(() => hangUp())));
  } finally {
    await context.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
})().catch((e) => { console.error(e.message); process.exit(1); });
