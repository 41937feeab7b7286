package config

import (
	"reflect"
	"strings"
)

// field is one key of the configuration and its value.
type field struct {
	path  string // "analysis.poll_max"
	name  string // "poll_max"
	value reflect.Value
}

// section reports whether the key holds other keys.
func (f field) section() bool { return f.value.Kind() == reflect.Struct }

// env returns the name of the environment variable of the key.
func (f field) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(f.path, ".", "_"))
}

// fields returns the keys directly below a struct.
func fields(path string, v reflect.Value) (list []field) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		at := name
		if path != "" {
			at = path + "." + name
		}
		list = append(list, field{path: at, name: name, value: v.Field(i)})
	}
	return list
}

// walk visits every key. A section comes before the keys in it.
func walk(path string, v reflect.Value, visit func(field)) {
	for _, f := range fields(path, v) {
		visit(f)
		if f.section() {
			walk(f.path, f.value, visit)
		}
	}
}

func names(list []field) (out []string) {
	for _, f := range list {
		out = append(out, f.name)
	}
	return out
}
