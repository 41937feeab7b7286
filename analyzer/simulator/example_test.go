package simulator_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
)

// A test of your own program uses the simulator, which answers as scripted.
func ExampleServer() {
	script, err := simulator.ParseScript(strings.NewReader(`
rules:
  - match: {marker: true}
    result: {score: 0.97, at_once: true}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	stand := simulator.New(script)
	server := httptest.NewServer(stand)
	defer server.Close()
	client, err := analyzer.New("any-key", &analyzer.Options{BaseURL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	audio, err := analyzer.FileAudio("../../testdata/audio/synthetic.wav")
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := client.Analyze(context.Background(), audio, func(string) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Score, stand.Stats().Submits)
	// Output: 0.97 1
}
