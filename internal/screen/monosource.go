package screen

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"callscreen/capture"
)

// ReasonMonoSource is the reason of a segment that is skipped because the other channel of the track has the same audio,
// which is analysed.
const ReasonMonoSource = "mono_source"

// monoSource finds segments that both legs of a stereo track have: the track is mono, and is paid for once.
type monoSource struct {
	seen []audioPrint // of the last segments of either leg
}

type audioPrint struct {
	leg    string
	offset time.Duration
	hash   [sha256.Size]byte
}

// maxPrints is more than the segments that one leg cuts before the other has cut the same.
const maxPrints = 64

// other returns the leg that has the same audio at the same place, "" if there is none.
func (m *monoSource) other(seg capture.LegSegment) string {
	if seg.PCM == nil {
		return ""
	}
	h := sha256.New()
	var b [2]byte
	for _, s := range seg.PCM {
		binary.LittleEndian.PutUint16(b[:], uint16(s))
		h.Write(b[:])
	}
	p := audioPrint{leg: seg.Leg, offset: seg.Offset(), hash: [sha256.Size]byte(h.Sum(nil))}
	for _, o := range m.seen {
		if o.leg != p.leg && o.offset == p.offset && o.hash == p.hash {
			return o.leg
		}
	}
	if len(m.seen) == maxPrints {
		m.seen = slices.Delete(m.seen, 0, 1)
	}
	m.seen = append(m.seen, p)
	return ""
}
