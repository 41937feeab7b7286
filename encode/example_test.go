package encode_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"callscreen/encode"
)

// The second channel of a recording becomes a clip of 16 kHz.
func ExampleOpen() {
	src, err := encode.Open(context.Background(), filepath.Join("..", "testdata", "audio", "two-legs.wav"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()
	format := src.Format()
	resampler, err := encode.NewResampler(format.Rate, 16000)
	if err != nil {
		log.Fatal(err)
	}

	var leg, resampled []float32
	block := make([]float32, 4096*format.Channels)
	for {
		n, err := src.Read(block)
		leg = encode.Deinterleave(leg[:0], block[:n], format.Channels, 1)
		resampled = resampler.Process(resampled, leg)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	resampled = resampler.Flush(resampled)

	pcm := make([]int16, min(len(resampled), encode.Fit(16000)))
	clipped := encode.ToInt16(pcm, resampled[:len(pcm)])
	clip, err := os.CreateTemp("", "clip-*.wav")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(clip.Name())
	defer clip.Close()
	if err := encode.WriteWAV(clip, 16000, pcm); err != nil {
		log.Fatal(err)
	}
	fmt.Println(format.Channels, "channels,", len(pcm)/16000, "s,", clipped, "clipped")
	// Output: 2 channels, 48 s, 0 clipped
}
