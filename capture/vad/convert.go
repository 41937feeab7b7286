//go:build ignore

// Convert extracts the weights of Silero VAD v5 from its ONNX file into silero.bin:
//
//	npm pack @ricky0123/vad-web@0.0.31 && tar xzf ricky0123-vad-web-0.0.31.tgz
//	go run convert.go package/dist/silero_vad_v5.onnx silero.bin
//
// The file holds two networks, for 16 and 8 kHz, as the branches of an If node. The result is the float32 values of the
// tensors in the order below, little-endian, 16 kHz first. The basis of the Fourier transform is checked and left out.
package main

import (
	"encoding/binary"
	"fmt"
	"log"
	"math"
	"os"
	"strings"
)

var tensors = []string{
	"encoder.0.reparam_conv.weight", "encoder.0.reparam_conv.bias",
	"encoder.1.reparam_conv.weight", "encoder.1.reparam_conv.bias",
	"encoder.2.reparam_conv.weight", "encoder.2.reparam_conv.bias",
	"encoder.3.reparam_conv.weight", "encoder.3.reparam_conv.bias",
	"decoder.rnn.weight_ih", "decoder.rnn.weight_hh", "decoder.rnn.bias_ih", "decoder.rnn.bias_hh",
	"decoder.decoder.2.weight", "decoder.decoder.2.bias",
}

const basis = "stft.forward_basis_buffer"

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: go run convert.go MODEL.onnx OUT.bin")
	}
	model, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	branches := map[string]map[string][]byte{"then_branch": {}, "else_branch": {}}
	message(model, func(field int, value []byte) {
		if field == 7 { // ModelProto.graph
			graph(value, "", branches)
		}
	})
	var out []byte
	for branch, window := range map[string]int{"then_branch": 256, "else_branch": 128} {
		if err := checkBasis(branches[branch][basis], window); err != nil {
			log.Fatalf("%s: %v", branch, err)
		}
	}
	for _, branch := range []string{"then_branch", "else_branch"} { // sr == 16000, else 8000
		for _, name := range tensors {
			raw, ok := branches[branch][name]
			if !ok {
				log.Fatalf("%s has no %s", branch, name)
			}
			out = append(out, raw...)
		}
	}
	if err := os.WriteFile(os.Args[2], out, 0o644); err != nil {
		log.Fatal(err)
	}
}

// graph collects the tensors of a GraphProto. Tensors in the branches of an If go under the name of the outermost branch.
func graph(data []byte, branch string, branches map[string]map[string][]byte) {
	message(data, func(field int, node []byte) {
		if field != 1 { // GraphProto.node
			return
		}
		message(node, func(field int, attribute []byte) {
			if field != 5 { // NodeProto.attribute
				return
			}
			name := ""
			message(attribute, func(field int, value []byte) {
				switch {
				case field == 1: // AttributeProto.name
					name = string(value)
				case field == 5 && branch != "": // AttributeProto.t
					tensor(value, branches[branch])
				case field == 6 && branch == "": // AttributeProto.g
					graph(value, name, branches)
				}
			})
		})
	})
}

func tensor(data []byte, into map[string][]byte) {
	name, raw := "", []byte(nil)
	message(data, func(field int, value []byte) {
		switch field {
		case 8: // TensorProto.name
			name = string(value)
		case 9: // TensorProto.raw_data
			raw = value
		}
	})
	if strings.Contains(name, ".") {
		into[name] = raw
	}
}

// checkBasis checks that the network's STFT convolution is a Fourier transform with a periodic Hann window: cosines for
// n/2+1 bins, then as many negative sines.
func checkBasis(raw []byte, n int) error {
	bins := n/2 + 1
	if len(raw) != 2*bins*n*4 {
		return fmt.Errorf("the basis has %d bytes", len(raw))
	}
	for row := range 2 * bins {
		for i := range n {
			got := float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*(row*n+i):])))
			phase := 2 * math.Pi * float64(row%bins) * float64(i) / float64(n)
			want := math.Cos(phase)
			if row >= bins {
				want = -math.Sin(phase)
			}
			want *= 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n))
			if math.Abs(got-want) > 1e-5 {
				return fmt.Errorf("the basis is no windowed Fourier transform: row %d column %d is %v, not %v", row, i, got, want)
			}
		}
	}
	return nil
}

// message visits the length-delimited fields of a protocol buffer.
func message(data []byte, visit func(field int, value []byte)) {
	for len(data) > 0 {
		key, n := binary.Uvarint(data)
		if n <= 0 {
			log.Fatal("malformed file")
		}
		data = data[n:]
		switch key & 7 {
		case 0:
			_, n := binary.Uvarint(data)
			data = data[n:]
		case 1:
			data = data[8:]
		case 2:
			size, n := binary.Uvarint(data)
			visit(int(key>>3), data[n:n+int(size)])
			data = data[n+int(size):]
		case 5:
			data = data[4:]
		}
	}
}
