package encode

// Damage counts the audio that a Source could not decode.
type Damage struct {
	Events int   // damaged places in the file
	Lost   int64 // frames (samples per channel, at Format.Rate) that were not decoded; inside the recording they are silence
}

// DamageOf returns the damage of src so far. It is final once Read returned an error. It is zero for a Source that does
// not count damage.
func DamageOf(src Source) Damage {
	if d, ok := src.(interface{ Damage() Damage }); ok {
		return d.Damage()
	}
	return Damage{}
}

// add adds the counts of o.
func (d *Damage) add(o Damage) {
	d.Events += o.Events
	d.Lost += o.Lost
}
