package encode

import (
	"fmt"
	"maps"
	"math"
	"time"
)

// Reason is the cause for which bytes of a file were not decoded. Its text is stable: reports and metrics use it.
type Reason string

const (
	// BehindStatedSize is audio behind the end that the header declares.
	BehindStatedSize Reason = "behind_stated_size"
	// FurtherPart is a second recording in the file, joined to the first or embedded in it.
	FurtherPart Reason = "further_part"
	// FurtherTrack is a track beside the tracks that were decoded.
	FurtherTrack Reason = "further_track"
	// ReaderGaveUp is the rest of a file behind the point at which decoding stopped.
	ReaderGaveUp Reason = "reader_gave_up"
	// OtherChunk is a large block of data that the format does not define and that may be audio.
	OtherChunk Reason = "other_chunk"
	// OtherChannel is sound in the channels that the user chose to leave out.
	OtherChannel Reason = "other_channel"
	// CancelledInMix is sound that the channels of a mix cancel in each other.
	CancelledInMix Reason = "cancelled_in_mix"
	// AddedLater stands for bytes that were added to the file while it was read.
	AddedLater Reason = "added_later"
)

// Account books every byte of a file: Read + Damaged + the sum of Unread equals Size.
//
// Headers, tags, padding and other bytes that hold no audio count as read. The times of damaged and unread bytes are
// estimates where the file does not declare them: then they follow from the bit rate of the audio around them. A file
// that ffmpeg decodes is booked by the durations and packet sizes that ffmpeg reports.
type Account struct {
	Size        int64 // bytes in the file
	Read        int64
	Damaged     int64
	Unread      map[Reason]int64 // nil or without zero values
	DamagedTime time.Duration
	UnreadTime  map[Reason]time.Duration // one entry for each entry of Unread
}

// AccountOf returns the account of src. It is final once Read returned an error, and covers only the bytes that were
// reached before. It is zero for a Source that keeps none.
func AccountOf(src Source) Account {
	if a, ok := src.(interface{ Account() Account }); ok {
		return a.Account()
	}
	return Account{}
}

// Check returns an error if the sums do not close, or if bytes are damaged or unread and no time is booked for them.
func (a Account) Check() error {
	unread := a.UnreadBytes()
	switch {
	case a.Read < 0 || a.Damaged < 0 || a.DamagedTime < 0:
		return fmt.Errorf("account has negative entries: %+v", a)
	case a.Read+a.Damaged+unread != a.Size:
		return fmt.Errorf("account of %d bytes does not close: %d read, %d damaged, %d unread", a.Size, a.Read, a.Damaged, unread)
	case a.Damaged > 0 && a.DamagedTime == 0:
		return fmt.Errorf("%d bytes are damaged and no time is booked for them", a.Damaged)
	}
	for reason, n := range a.Unread {
		if n <= 0 || a.UnreadTime[reason] <= 0 {
			return fmt.Errorf("%d bytes are unread (%s) with a time of %v", n, reason, a.UnreadTime[reason])
		}
	}
	for reason := range a.UnreadTime {
		if a.Unread[reason] == 0 {
			return fmt.Errorf("time is unread (%s) and no bytes", reason)
		}
	}
	return nil
}

// UnreadBytes returns the sum of Unread.
func (a Account) UnreadBytes() int64 {
	var n int64
	for _, v := range a.Unread {
		n += v
	}
	return n
}

// Unheard returns the time of all audio that was damaged or not read.
func (a Account) Unheard() time.Duration {
	d := a.DamagedTime
	for _, v := range a.UnreadTime {
		d += v
	}
	return d
}

// damage books n bytes as damaged, for a time of at least one nanosecond.
func (a *Account) damage(n int64, d time.Duration) {
	if n <= 0 {
		return
	}
	a.Damaged += n
	a.DamagedTime += max(d, 1)
}

// leave books n bytes as unread, for a time of at least one nanosecond.
func (a *Account) leave(reason Reason, n int64, d time.Duration) {
	if n <= 0 {
		return
	}
	if a.Unread == nil {
		a.Unread, a.UnreadTime = map[Reason]int64{}, map[Reason]time.Duration{}
	}
	a.Unread[reason] += n
	a.UnreadTime[reason] += max(d, 1)
}

// LeaveOut books a share (0 to 1) of the bytes that were read as unread: their audio was decoded, and is not used.
func (a *Account) LeaveOut(reason Reason, share float64, d time.Duration) {
	if n := min(max(int64(share*float64(a.Read)), 1), a.Read); d > 0 && n > 0 {
		a.Unread, a.UnreadTime = maps.Clone(a.Unread), maps.Clone(a.UnreadTime)
		a.Read -= n
		a.leave(reason, n, d)
	}
}

// add books all entries of b. Size is added too.
func (a *Account) add(b Account) {
	a.Size += b.Size
	a.Read += b.Read
	a.Damaged += b.Damaged
	a.DamagedTime += b.DamagedTime
	for reason, n := range b.Unread {
		a.leave(reason, n, b.UnreadTime[reason])
	}
}

// booked returns the number of bytes that have an entry.
func (a Account) booked() int64 { return a.Read + a.Damaged + a.UnreadBytes() }

// settle books the bytes of a file of the given size that have no entry yet as left behind by the reader.
func (a *Account) settle(size int64, bytesPerSecond float64) {
	a.Size = size
	if rest := size - a.booked(); rest > 0 {
		a.leave(ReaderGaveUp, rest, timeOf(rest, bytesPerSecond))
	}
}

// grow books bytes that were added to the file after it was opened.
func (a *Account) grow(n int64, bytesPerSecond float64) {
	a.Size += n
	a.leave(AddedLater, n, timeOf(n, bytesPerSecond))
}

// clone returns a copy that shares no map with a.
func (a Account) clone() Account {
	a.Unread, a.UnreadTime = maps.Clone(a.Unread), maps.Clone(a.UnreadTime)
	return a
}

// slowRate (bytes per second) is assumed where nothing was decoded that a rate could be taken from. It is low, so that the
// estimated time is rather too long than too short.
const slowRate = 2000

// timeOf estimates the time of n bytes.
func timeOf(n int64, bytesPerSecond float64) time.Duration {
	if !(bytesPerSecond > 0) {
		bytesPerSecond = slowRate
	}
	return seconds(float64(n) / bytesPerSecond)
}

// seconds converts to a Duration, saturated at 100 years.
func seconds(s float64) time.Duration {
	return time.Duration(math.Min(s, 100*365*24*3600) * float64(time.Second))
}
