package report

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Seconds is a duration whose JSON form is a number of seconds, to the millisecond.
type Seconds time.Duration

// Round returns the duration at the precision of its JSON form.
func (s Seconds) Round() Seconds { return Seconds(time.Duration(s).Round(time.Millisecond)) }

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s.Round()/Seconds(time.Millisecond))/1000, 'f', -1, 64), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seconds) UnmarshalJSON(data []byte) error {
	var f float64
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	*s = Seconds(math.Round(f * float64(time.Second)))
	return nil
}
