package encode

// Damage counts what a Source could not decode.
type Damage struct {
	Events int   // places in the file that were damaged
	Lost   int64 // frames (samples per channel, at Format.Rate) handed out as silence instead of audio
}

// DamageOf returns what src could not decode so far. It is final once Read returned an error. A Source that does not
// count damage gives the zero value.
func DamageOf(src Source) Damage {
	if d, ok := src.(interface{ Damage() Damage }); ok {
		return d.Damage()
	}
	return Damage{}
}
