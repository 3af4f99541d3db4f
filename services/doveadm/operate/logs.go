package operate

import (
	"errors"
	"fmt"
	"log/syslog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/settings"
)

// levels are those of the log, as Dovecot names them.
var levels = []string{"Debug", "Info", "Warning", "Error", "Fatal"}

// logPath is where lines of a level go: a file, "syslog" or "stderr".
func logPath(cfg *settings.Config, level string) string {
	paths := []string{"log_path"}
	switch level {
	case "Debug":
		paths = []string{"debug_log_path", "info_log_path", "log_path"}
	case "Info":
		paths = []string{"info_log_path", "log_path"}
	}
	for _, name := range paths {
		if path := cfg.Global.String(name); path != "" {
			return path
		}
	}
	return "syslog"
}

// logFind prints where each level goes. What syslog does with it, syslog's own
// configuration says; files that it usually writes are named if they are there.
func (o *operation) logFind() error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	asked := false
	for _, level := range levels {
		path := logPath(cfg, level)
		asked = asked || path == "syslog"
		o.line(level + ": " + path)
	}
	if !asked {
		return nil
	}
	dir := o.p.Arg("directory")
	if dir == "" {
		dir = "/var/log"
	}
	found := false
	for _, name := range []string{"mail.log", "mail.err", "maillog", "syslog", "messages"} {
		if path := filepath.Join(dir, name); readable(path) {
			found = true
			o.line("syslog's " + cfg.Global.String("syslog_facility") + " may be in: " + path)
		}
	}
	if !found {
		o.line("syslog may be in the journal: journalctl -t culver")
	}
	return nil
}

func readable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// logTest writes a line of each level to where that level goes. It writes
// itself and so proves the place, not the log service's way there.
func (o *operation) logTest() error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	var all error
	for _, level := range levels {
		text := "This is a test of the level " + strings.ToLower(level)
		switch path := logPath(cfg, level); path {
		case "syslog":
			err = toSyslog(cfg.Global.String("syslog_facility"), level, text)
		case "stderr":
			_, err = fmt.Fprintln(o.Err, level+": "+text)
		default:
			err = toFile(path, level, text)
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", strings.ToLower(level), err))
		}
	}
	return all
}

// toFile appends to a log file that is there: one that doveadm made would be the
// caller's, and the log service could not write to it.
func toFile(path, level, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s doveadm: %s: %s\n", time.Now().Format("Jan 02 15:04:05"), level, text)
	return errors.Join(err, f.Close())
}

var severities = map[string]syslog.Priority{
	"Debug": syslog.LOG_DEBUG, "Info": syslog.LOG_INFO, "Warning": syslog.LOG_WARNING, "Error": syslog.LOG_ERR, "Fatal": syslog.LOG_CRIT,
}

var facilities = map[string]syslog.Priority{
	"mail": syslog.LOG_MAIL, "daemon": syslog.LOG_DAEMON, "user": syslog.LOG_USER,
	"local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1, "local2": syslog.LOG_LOCAL2, "local3": syslog.LOG_LOCAL3,
	"local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5, "local6": syslog.LOG_LOCAL6, "local7": syslog.LOG_LOCAL7,
}

func toSyslog(facility, level, text string) error {
	w, err := syslog.New(facilities[facility]|severities[level], "doveadm")
	if err != nil {
		return err
	}
	_, err = w.Write([]byte(text))
	return errors.Join(err, w.Close())
}
