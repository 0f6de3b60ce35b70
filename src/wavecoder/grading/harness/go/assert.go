// Package assert is as much of testify's as the tests use, by the same rule of equality.
package assert

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
)

type Assertions struct{}

// Asserted counts the comparisons that held.
var Asserted int

func New(t interface{}) *Assertions {
	return &Assertions{}
}

func (*Assertions) Equal(expected, actual interface{}, _ ...interface{}) bool {
	if Same(expected, actual) {
		Asserted++
		return true
	}
	// First what decides: printing a value may run methods of the program.
	os.Stderr.WriteString("assertion failed: not equal\n")
	fmt.Fprintf(os.Stderr, "%.200s, not %.200s\n", fmt.Sprintf("%#v", actual), fmt.Sprintf("%#v", expected))
	os.Exit(1)
	return false
}

// Same reports whether two values are equal, as testify's ObjectsAreEqual does.
func Same(expected, actual interface{}) bool {
	if expected == nil || actual == nil {
		return expected == actual
	}
	left, ok := expected.([]byte)
	if !ok {
		return reflect.DeepEqual(expected, actual)
	}
	right, ok := actual.([]byte)
	if !ok {
		return false
	}
	if left == nil || right == nil {
		return left == nil && right == nil
	}
	return bytes.Equal(left, right)
}
