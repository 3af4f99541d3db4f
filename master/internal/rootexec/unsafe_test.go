package rootexec_test

import "unsafe"

func pointer[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }

// ptr gives a C string's address.
func ptr(s string) uintptr {
	b := append([]byte(s), 0)
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// kept holds the strings until the process ends.
var kept [][]byte
