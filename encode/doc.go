// Package encode reads recordings and writes the clips that are sent to an analysis.
//
// [Open] gives a [Source]: a stream of decoded PCM whose memory does not grow with the length of the file, whatever the
// container. A [Resampler] brings one channel to the wanted rate, and [WriteWAV] writes mono 16-bit PCM whose size is
// proven below [MaxBytes] before the first byte.
package encode
