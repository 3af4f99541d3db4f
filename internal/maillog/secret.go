package maillog

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is text that must not reach a log: every way of printing it gives
// "***". string(s) is the one way to its value, and easy to search for.
// (Package fmt reaches around methods where a struct keeps a Secret in an
// unexported field: do not print such a struct with %v.)
type Secret string

const hidden = "***"

// Format answers every verb of package fmt; without it %x would print the bytes.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// String, GoString, LogValue and MarshalText answer those who do not use fmt.
func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
