// Package vad detects speech in telephone audio. An adaptive energy gate passes frames that stand out from the background
// of the leg, and the Silero VAD v5 network classifies them. A [Detector] needs no library and takes 8 and 16 kHz, mono
// 16-bit PCM, in frames of 32 ms.
//
// Loud frames without speech are classified as [capture.Tone] (ring-back, dial tones, DTMF), [capture.Music] or
// [capture.Noise]. The class explains why a stretch was not analysed. Which of the three it is may be wrong.
//
// # Accuracy
//
// Measured by TestRecordings on studio prompts in three languages (Debian's asterisk-core-sounds-en, -es, -fr), five
// pieces of hold music (asterisk-moh-opsound) and generated tones, with the segmenter's hang-over of 300 ms. A frame of a
// prompt counts as speech when it is within 30 dB of the level of the prompt's louder frames. Clips of tones or animals are
// excluded. The level of noise and music is relative to the loudest part of the speech.
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
// # Cost
//
// BenchmarkClassify measures the CPU time for silence and for uninterrupted speech. The network, and with it nearly all of
// the cost, runs only while the gate is open. Nothing is allocated after New. All detectors share the weights, 2 MB.
//
// The inner loops are in assembly for AVX2 and SSE on amd64 and for NEON on arm64. The Go versions run elsewhere and with the
// build tag purego. All return the same bits (TestEveryMachineHearsTheSame), so that a call is cut at the same places on every
// machine. BenchmarkNetwork compares them in one run.
//
// # The model
//
// The probabilities equal those of ONNX Runtime within 1e-5 (TestProbabilitiesEqualTheReference). The weights are those
// of silero_vad_v5.onnx, see convert.go; their licence, MIT, is in silero.LICENCE.txt.
//
// While the gate is closed the network does not run and its state does not change. When the gate opens, the network first
// processes the last frames before it, so that the onset of a word has the context that it would have without a gate.
package vad
