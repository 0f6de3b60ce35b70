// Package early runs before the program does, which imports it without a choice.
package early

import (
	"os"
	"syscall"
)

var token [16]byte
var whole bool

func init() {
	n, _ := syscall.Read(3, token[:])
	whole = n == len(token)
	syscall.Close(3)
	// The tests' text and the binary are not for the program to read.
	entries, _ := os.ReadDir(".")
	for _, entry := range entries {
		os.RemoveAll(entry.Name())
	}
}

// Of the main package only, by linkname: the program cannot name it.
func answer() {
	if whole {
		syscall.Write(4, token[:])
	}
	os.Exit(0)
}
