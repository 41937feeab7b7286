package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// DefaultFile is read from the working directory if it exists and no other file is named.
const DefaultFile = "callscreen.yaml"

const (
	envPrefix = "CALLSCREEN_"
	envKey    = "DATASPIKE_API_KEY"
	maxFile   = 1 << 20

	envClientSecret = "CALLSCREEN_OIDC_CLIENT_SECRET"
	envJWTSecret    = "CALLSCREEN_JWT_SECRET"
	envAudioKey     = "CALLSCREEN_AUDIO_KEY"
	envAuditKey     = "CALLSCREEN_AUDIT_KEY"
	envTURNSecret   = "CALLSCREEN_TURN_SECRET"
)

// Load fills a configuration from the defaults, the file and the environment, in this order. An empty file name means
// DefaultFile if it exists; environ has the form of os.Environ. An error is of type Problems and holds all problems
// found so far. [Config.Validate] checks the values themselves, after the flags are applied.
func Load(file string, environ []string) (Config, error) {
	c := Default()
	var ps Problems
	if data, err := readFile(file); err != nil {
		ps = append(ps, *err)
	} else {
		c.applyYAML(data, &ps)
	}
	c.applyEnv(environ, &ps)
	c.Analysis.APIKey = readSecret(environ, envKey, "analysis.api_key_file", c.Analysis.APIKeyFile, &ps)
	c.AudioKey = readSecret(environ, envAudioKey, "audio_key_file", c.AudioKeyFile, &ps)
	c.AuditKey = readSecret(environ, envAuditKey, "audit_key_file", c.AuditKeyFile, &ps)
	c.Auth.OIDC.ClientSecret = readSecret(environ, envClientSecret, "auth.oidc.client_secret_file", c.Auth.OIDC.ClientSecretFile, &ps)
	c.Auth.JWT.Secret = readSecret(environ, envJWTSecret, "auth.jwt.secret_file", c.Auth.JWT.SecretFile, &ps)
	c.WebRTC.TURNSecret = readSecret(environ, envTURNSecret, "webrtc.turn_secret_file", c.WebRTC.TURNSecretFile, &ps)
	return c, ps.err()
}

func readFile(name string) ([]byte, *Problem) {
	given := name != ""
	if !given {
		name = DefaultFile
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) && !given {
		return nil, nil
	}
	if err != nil {
		return nil, &Problem{Path: name, Message: reason(err), Hint: "give a readable file to --config, or leave it out"}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, &Problem{Path: name, Message: reason(err), Hint: "check that it is a regular file, and that the disk is readable"}
	case len(data) > maxFile:
		return nil, &Problem{Path: name, Message: "is larger than 1 MiB", Hint: "check that it is a configuration file"}
	}
	return data, nil
}

// reason drops the file name, which the caller shows already.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func (c *Config) applyYAML(data []byte, ps *Problems) {
	if len(strings.TrimSpace(string(data))) == 0 {
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		ps.add("file", "check the indentation and the quotes at that line", "%s", oneLine(err))
		return
	}
	if len(doc.Content) == 0 {
		return
	}
	apply("", reflect.ValueOf(c).Elem(), doc.Content[0], ps)
}

// apply sets the keys of a section from a mapping.
func apply(path string, section reflect.Value, node *yaml.Node, ps *Problems) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Tag == "!!null" {
		return
	}
	at := path
	if at == "" {
		at = "file"
	}
	if node.Kind != yaml.MappingNode {
		ps.add(at, "write keys below it, as in: callscreen config describe", "line %d: must be a section of keys", node.Line)
		return
	}
	known := fields(path, section)
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		var f *field
		for j := range known {
			if known[j].name == key.Value {
				f = &known[j]
			}
		}
		full := strings.TrimPrefix(path+"."+key.Value, ".")
		switch {
		case f == nil:
			ps.add(full, hintFor(key.Value, path, names(known)), "line %d: there is no such key", key.Line)
		case seen[key.Value]:
			ps.add(full, "keep one of them", "line %d: is set twice", key.Line)
		case f.section():
			apply(f.path, f.value, value, ps)
		default:
			set(f.path, f.value, value, fmt.Sprintf("line %d: ", value.Line), ps)
		}
		seen[key.Value] = true
	}
}

func hintFor(name, section string, candidates []string) string {
	switch name {
	case "api_key", "token":
		return "secrets come from the environment or a file of their own: set " + envKey + " or analysis.api_key_file"
	case "audio_key":
		return "secrets come from the environment or a file of their own: set " + envAudioKey + " or audio_key_file"
	case "client_secret":
		return "secrets come from the environment or a file of their own: set " + envClientSecret + " or auth.oidc.client_secret_file"
	case "turn_secret", "turn_password":
		return "secrets come from the environment or a file of their own: set " + envTURNSecret + " or webrtc.turn_secret_file"
	case "secret":
		return "secrets come from the environment or a file of their own: set " + envJWTSecret + " or auth.jwt.secret_file"
	}
	if near := nearest(name, candidates); near != "" {
		return "did you mean " + strings.TrimPrefix(section+"."+near, ".") + "?"
	}
	return "the keys are " + strings.Join(candidates, ", ")
}

// set decodes one value. A list replaces the previous list.
func set(path string, value reflect.Value, node *yaml.Node, where string, ps *Problems) {
	if unknownInList(path, value, node, ps) {
		return
	}
	fresh := reflect.New(value.Type())
	err := decodeStrict(node, fresh.Interface())
	if err != nil {
		ps.add(path, "want "+kindName(value), "%s%s", where, oneLine(err))
		return
	}
	if fresh.Elem().Kind() == reflect.Slice && fresh.Elem().Len() == 0 {
		fresh.Elem().SetZero()
	}
	value.Set(fresh.Elem())
}

// unknownInList reports unknown keys in the entries of a list.
func unknownInList(path string, value reflect.Value, node *yaml.Node, ps *Problems) (found bool) {
	if value.Kind() != reflect.Slice || value.Type().Elem().Kind() != reflect.Struct || node.Kind != yaml.SequenceNode {
		return false
	}
	for i, entry := range node.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		known := names(fields(at, reflect.New(value.Type().Elem()).Elem()))
		for k := 0; entry.Kind == yaml.MappingNode && k+1 < len(entry.Content); k += 2 {
			if key := entry.Content[k]; !slices.Contains(known, key.Value) {
				ps.add(at+"."+key.Value, hintFor(key.Value, at, known), "line %d: there is no such key", key.Line)
				found = true
			}
		}
	}
	return found
}

// decodeStrict rejects unknown keys inside lists, which the walk over the sections does not reach.
func decodeStrict(node *yaml.Node, into any) error {
	data, err := yaml.Marshal(node)
	if err != nil {
		return err
	}
	return yaml.Load(data, into, yaml.WithKnownFields())
}

func kindName(v reflect.Value) string {
	switch {
	case v.Type().String() == "time.Duration":
		return "a duration such as 500ms, 10s or 72h"
	case v.CanInt():
		return "a whole number"
	case v.CanFloat():
		return "a number"
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.Kind() == reflect.Slice:
		return "a list, as in: callscreen config describe"
	}
	return "text"
}

func (c *Config) applyEnv(environ []string, ps *Problems) {
	byEnv, sections := map[string]field{}, []string{}
	walk("", reflect.ValueOf(c).Elem(), func(f field) {
		if f.section() {
			sections = append(sections, f.env()+"_")
			return
		}
		byEnv[f.env()] = f
	})
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		f, ok := byEnv[name]
		if !ok {
			// Ignore other CALLSCREEN_ variables: orchestrators create some from the name of a service.
			for _, s := range sections {
				if strings.HasPrefix(name, s) {
					ps.add(name, envHint(name, byEnv), "there is no such key")
				}
			}
			continue
		}
		if f.value.Kind() == reflect.String {
			f.value.SetString(value)
			continue
		}
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(value), &doc); err != nil || len(doc.Content) == 0 {
			ps.add(name, "want "+kindName(f.value), "is not valid YAML")
			continue
		}
		set(name, f.value, doc.Content[0], "", ps)
	}
}

func envHint(name string, byEnv map[string]field) string {
	var candidates []string
	for env := range byEnv {
		candidates = append(candidates, env)
	}
	if near := nearest(name, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return "callscreen config describe lists the keys"
}

// readSecret returns a secret from the environment or from its file. The environment wins.
func readSecret(environ []string, variable, path, file string, ps *Problems) (secret Secret) {
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, variable+"="); ok {
			secret = Secret(strings.TrimSpace(value))
		}
	}
	if secret != "" || file == "" {
		return secret
	}
	data, err := os.ReadFile(file)
	if err != nil {
		ps.add(path, "check its path and permissions", "%s", err)
		return ""
	}
	if secret = Secret(strings.TrimSpace(string(data))); secret == "" {
		ps.add(path, "write the secret into it", "%s is empty", file)
	}
	return secret
}

func oneLine(err error) string {
	s := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	return strings.TrimPrefix(s, "yaml: ")
}
