package audio

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"callscreen/internal/seal"
)

// ErrTampered reports that stored audio is not that of its segment.
var ErrTampered = seal.ErrTampered

// Evidence identifies the audio of a segment, as its row has it.
type Evidence struct {
	Key    string
	SHA256 string // hex
	Bytes  int64
}

// Read returns the whole audio of a segment. The error wraps ErrTampered if it is not what was recorded, whether it is
// encrypted or not, and ErrNotFound if there is none. Uploads and players use Read, because an
// object that is opened again could be another one.
func Read(ctx context.Context, from Store, e Evidence) (_ []byte, err error) {
	o, size, err := from.Open(ctx, e.Key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if size != e.Bytes {
		return nil, fmt.Errorf("read audio %s: %w: it has %d bytes instead of %d", e.Key, ErrTampered, size, e.Bytes)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(o, data); err != nil {
		return nil, fmt.Errorf("read audio %s: %w", e.Key, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != e.SHA256 {
		return nil, fmt.Errorf("read audio %s: %w: its SHA-256 differs from that of the segment", e.Key, ErrTampered)
	}
	return data, nil
}
