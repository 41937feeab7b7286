package library

import (
	"context"
	"errors"
	"io"

	"callscreen/encode"
)

// ReadMono decodes one channel of a recording, resamples it, and passes it to write as 16-bit PCM. It returns an error if the
// recording was not read to its end. All audio before the error was written.
func ReadMono(ctx context.Context, file string, channel, rate int, write func(pcm []int16)) error {
	recording, err := encode.Open(ctx, file, nil)
	if err != nil {
		return err
	}
	defer recording.Close()
	format := recording.Format()
	resampler, err := encode.NewResampler(format.Rate, rate)
	if err != nil {
		return err
	}
	for block := make([]float32, 4096*format.Channels); ; {
		n, err := recording.Read(block)
		samples := resampler.Process(nil, encode.Deinterleave(nil, block[:n], format.Channels, channel))
		if err != nil {
			samples = resampler.Flush(samples)
		}
		pcm := make([]int16, len(samples))
		encode.ToInt16(pcm, samples)
		write(pcm)
		if errors.Is(err, io.EOF) && !errors.Is(err, encode.ErrTruncated) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
