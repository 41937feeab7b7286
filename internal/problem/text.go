package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

// ValidText reports whether a text can be stored: it is UTF-8 and has no NUL, which PostgreSQL refuses.
func ValidText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// CheckText returns an error if the path or the query of a request is no text that can be stored.
func CheckText(r *http.Request) error {
	if !ValidText(r.URL.Path) {
		return errors.New("the path is not UTF-8, or has a NUL")
	}
	for key, values := range r.URL.Query() {
		if !ValidText(key) || !ValidText(strings.Join(values, "")) {
			return fmt.Errorf("the query parameter %.40q is not UTF-8, or has a NUL", key)
		}
	}
	return nil
}

// Checked answers 400 to requests that CheckText refuses.
func Checked(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := CheckText(r); err != nil {
			Write(w, http.StatusBadRequest, err.Error())
			return
		}
		next(w, r)
	}
}

// DecodeJSON decodes a body that must be one JSON value without unknown fields, in UTF-8. encoding/json would replace broken
// characters.
func DecodeJSON(body io.Reader, into any) error {
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if !utf8.Valid(data) {
		return errors.New("the body is not UTF-8")
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is something behind the JSON value")
	}
	return nil
}
