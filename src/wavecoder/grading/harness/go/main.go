package main

import (
	"os"
	_ "unsafe"

	_ "wavecoder/early"

	"wavecoder/assert"
	"wavecoder/testing"
)

//go:linkname answer wavecoder/early.answer
func answer()

func main() {
	if assert.Same(1, 2) || !assert.Same([]int{1}, []int{1}) {
		os.Stderr.WriteString("equality is not what it was\n")
		os.Exit(2)
	}
	tested(&testing.T{})
	if assert.Asserted == 0 {
		os.Stderr.WriteString("no test was run\n")
		os.Exit(2)
	}
	answer()
}
