package log

import (
	"io"
	"time"

	"culver/internal/settings/finished"
)

// Open makes the Writer that the settings ask for. stderr is the master's.
func Open(b finished.Bag, stderr io.Writer) *Writer {
	stamp := Stamp{Pattern: b.String("log_timestamp")}
	if data := b["zoneinfo"]; data != "" {
		// In a box without /etc/localtime the master hands its bytes over.
		if zone, err := time.LoadLocationFromTZData("Local", []byte(data)); err == nil {
			stamp.Zone = zone
		}
	}
	places := map[string]Output{}
	place := func(path, otherwise string) (string, Output) {
		if path == "" {
			path = otherwise
		}
		if places[path] == nil {
			places[path] = output(path, facility(b.String("syslog_facility")), stderr, stamp)
		}
		return path, places[path]
	}
	path, errors := place(b.String("log_path"), "syslog")
	path, info := place(b.String("info_log_path"), path)
	_, debug := place(b.String("debug_log_path"), path)
	_, audit := place(b.String("audit_log_path"), path)
	return NewWriter(errors, info, debug, audit)
}

func output(path string, facility int, stderr io.Writer, stamp Stamp) Output {
	switch path {
	case "syslog":
		return &Syslog{Path: "/dev/log", Facility: facility, Tag: "culver", Stream: stderr, Stamp: stamp}
	case "stderr":
		return &File{Stream: stderr, Stamp: stamp}
	}
	return &File{Path: path, Stream: stderr, Stamp: stamp}
}
