// Package vad detects speech in telephone audio: an adaptive energy gate passes what stands out from the background of
// the leg, and the Silero VAD v5 network judges what passes. It runs in plain Go at 8 and 16 kHz, mono 16-bit PCM, in
// frames of 32 ms.
//
// What is loud and no speech gets a name: [capture.Tone] for ring-back, dial tones and DTMF, [capture.Music] and
// [capture.Noise]. These names explain why a stretch was not analysed; which of the three it is may be wrong.
//
// # How well it works
//
// Measured by TestRecordings on studio prompts in three languages (Debian's asterisk-core-sounds-en, -es, -fr), five
// pieces of hold music (asterisk-moh-opsound) and generated tones, with the 300 ms of hang-over that the segmenter
// gives. A frame of a prompt counts as speech when it is within 30 dB of the level of the prompt's louder frames; clips
// that are tones or animals are left out. Noise and music are mixed at a distance from the loudest part of the speech.
//
//	                               16 kHz    8 kHz
//	speech missed
//	  clean                         0.7 %    0.7 %
//	  at -45 dBFS                   0.9 %    0.9 %
//	  white noise 20 dB / 10 dB     0.7 / 1.4 %    0.7 / 1.2 %
//	  brown noise 20 dB / 10 dB     0.8 / 1.5 %    0.8 / 0.8 %
//	  hold music 15 dB              0.9 %    1.1 %
//	false alarms
//	  hold music                    2.0 %    2.0 %
//	  ring-back                     0.0 %    0.0 %
//	  DTMF                          0.0 %    0.3 %
//
// # What it costs
//
// The network takes about 140 µs a frame at 16 kHz and 100 µs at 8 kHz on one core of a small virtual machine: 260 and
// 190 ms of CPU for a minute of uninterrupted speech. A minute of silence takes 1 ms. Nothing is allocated after New; the
// weights, 2 MB, are shared by all detectors. BenchmarkClassify measures it.
//
// # The model
//
// The probabilities equal those of ONNX Runtime within 1e-5 (TestProbabilitiesEqualTheReference). The weights are those
// of silero_vad_v5.onnx, see convert.go; their licence, MIT, is in silero.LICENCE.txt.
//
// While the gate is shut the network does not run and its state stands still. When the gate opens it first hears the
// last frames from before that, so that the onset of a word meets the context it would have met without a gate.
package vad
