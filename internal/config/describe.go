package config

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Describe writes the reference: every key with its default, what it is for, and the variable that sets it. The result
// is a valid configuration file.
func Describe(w io.Writer) error {
	c := Default()
	var b bytes.Buffer
	walk("", reflect.ValueOf(&c).Elem(), func(f field) {
		indent := strings.Repeat("  ", strings.Count(f.path, "."))
		if f.section() && indent == "" {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s# %s\n", indent, docs[f.path])
		if f.section() {
			fmt.Fprintf(&b, "%s%s:\n", indent, f.name)
			return
		}
		fmt.Fprintf(&b, "%s%s: %s # %s\n", indent, f.name, scalar(f.value), f.env())
	})
	_, err := w.Write(b.Bytes())
	return err
}

func scalar(v reflect.Value) string {
	if list, ok := v.Interface().([]string); ok {
		return "[" + strings.Join(list, ", ") + "]"
	}
	if v.Kind() == reflect.Slice && v.Len() == 0 {
		return "[]"
	}
	out, err := yaml.Marshal(v.Interface())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

// Print writes the configuration as it is in force, secrets hidden, as a file that Load takes.
func (c Config) Print(w io.Writer) error {
	out, err := yaml.Dump(c, yaml.WithIndent(2))
	if err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	_, err = w.Write(out)
	return err
}
