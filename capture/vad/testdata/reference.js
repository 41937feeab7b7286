// Makes the reference probabilities of this folder with ONNX Runtime, one float32 a frame, little-endian:
//
//   npm pack @ricky0123/vad-web@0.0.31 && tar xzf ricky0123-vad-web-0.0.31.tgz && npm install onnxruntime-node@1.30.0 --ignore-scripts
//   node reference.js package/dist/silero_vad_v5.onnx ../../../testdata/audio
//
// The 8 kHz signal is every other sample of the 16 kHz one, so that it can be made again without a resampler.
const ort = require('onnxruntime-node');
const fs = require('fs');
const path = require('path');

const [model, audio] = process.argv.slice(2);

async function probabilities(session, pcm, rate) {
  const frame = rate === 16000 ? 512 : 256;
  const context = frame / 8;
  let state = new ort.Tensor('float32', new Float32Array(256), [2, 1, 128]);
  let before = new Float32Array(context);
  const out = [];
  for (let i = 0; i + frame <= pcm.length; i += frame) {
    const input = new Float32Array(context + frame);
    input.set(before);
    for (let j = 0; j < frame; j++) input[context + j] = pcm[i + j] / 32768;
    const result = await session.run({
      input: new ort.Tensor('float32', input, [1, input.length]),
      state,
      sr: new ort.Tensor('int64', BigInt64Array.from([BigInt(rate)]), []),
    });
    out.push(result.output.data[0]);
    state = result.stateN;
    before = input.slice(frame);
  }
  return out;
}

(async () => {
  const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  for (const name of ['human', 'synthetic']) {
    const wav = fs.readFileSync(path.join(audio, name + '.wav')).subarray(44);
    const pcm = new Int16Array(wav.length >> 1);
    for (let i = 0; i < pcm.length; i++) pcm[i] = wav.readInt16LE(2 * i);
    for (const rate of [16000, 8000]) {
      const p = await probabilities(session, rate === 16000 ? pcm : pcm.filter((_, i) => i % 2 === 0), rate);
      const data = Buffer.alloc(4 * p.length);
      p.forEach((v, i) => data.writeFloatLE(v, 4 * i));
      fs.writeFileSync(path.join(__dirname, `${name}.${rate}.f32`), data);
      console.log(name, rate, p.length, 'frames,', p.filter((v) => v > 0.5).length, 'of speech');
    }
  }
})();
