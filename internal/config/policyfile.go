package config

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"callscreen/policy"
)

// LoadPolicy reads a file with the keys of the section policy, without the section itself. Missing keys have their
// defaults. An error is of type Problems and holds all problems.
func LoadPolicy(file string) (policy.Policy, error) {
	p := policy.Default()
	data, problem := readFile(file)
	if problem != nil {
		problem.Hint = "give a readable file to --policy"
		return p, Problems{*problem}
	}
	var ps Problems
	if strings.TrimSpace(string(data)) != "" {
		var doc yaml.Node
		if err := yaml.Unmarshal(data, &doc); err != nil {
			ps.add("file", "check the indentation and the quotes at that line", "%s", oneLine(err))
		} else if len(doc.Content) > 0 {
			apply("", reflect.ValueOf(&p).Elem(), doc.Content[0], &ps)
		}
	}
	split(&ps, "", "see callscreen config describe", p.Validate())
	for i := range ps {
		if ps[i].Path == "policy" {
			ps[i].Hint = "write the keys below it alone, without policy: before them"
		}
		ps[i].Path = file + ": " + ps[i].Path
	}
	return p, ps.err()
}
