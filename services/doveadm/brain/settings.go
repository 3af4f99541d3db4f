package brain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"culver/internal/backend"
	"culver/internal/config"
)

// Settings are those of the configuration that the command needs.
type Settings struct {
	Socket       string // doveadm_socket_path: a path with a slash, or HOST:PORT
	Workers      int    // doveadm_worker_count
	Auth         string // auth_socket_path
	Username     string // doveadm_username
	PasswordFile string // doveadm_password_file
	Port         int    // doveadm_port; 0: users are not looked for on other servers
	Security     string // doveadm_ssl
	InClear      bool   // doveadm_send_password_in_clear
	Authorities  string // ssl_client_ca_file
	// Servers has worker_count of doveadm_server blocks, by host or host:port.
	Servers map[string]int
	// Missing says why there is no configuration; what needs one says so.
	Missing error
}

// settingNames are what -o can set.
var settingNames = []string{"doveadm_socket_path", "doveadm_worker_count", "doveadm_username", "doveadm_password_file", "doveadm_port",
	"doveadm_ssl", "doveadm_send_password_in_clear", "ssl_client_ca_file", "auth_socket_path"}

// LoadSettings reads the configuration, and then what -o says. A configuration
// that cannot be read is remembered; one that is wrong is an error.
func LoadSettings(file string, overrides []string) (Settings, error) {
	s := Settings{Username: "doveadm"}
	if err := s.load(file); err != nil {
		return s, err
	}
	for _, o := range overrides {
		if err := s.override(o); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *Settings) load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		s.Missing = fmt.Errorf("the configuration %s cannot be read (%w)", file, err)
		return nil
	}
	f.Close()
	g, problems := config.Globals(file)
	if len(problems) > 0 {
		var all strings.Builder
		for _, p := range problems {
			all.WriteString("\n" + p.Error())
		}
		return &failure{exitConfig, "the configuration is wrong:" + all.String()}
	}
	s.Socket, s.Auth = g.String("doveadm_socket_path"), g.String("auth_socket_path")
	s.Username, s.PasswordFile = g.String("doveadm_username"), g.String("doveadm_password_file")
	s.Workers, s.Port = int(g.Int("doveadm_worker_count")), int(g.Int("doveadm_port"))
	s.Security, s.InClear, s.Authorities = g.String("doveadm_ssl"), g.Bool("doveadm_send_password_in_clear"), g.String("ssl_client_ca_file")
	s.Servers = map[string]int{}
	for i := range g.Int("doveadm_server/count") {
		one := g.Sub(fmt.Sprintf("doveadm_server/%d/", i))
		s.Servers[one.String("name")] = int(one.Int("worker_count"))
	}
	return nil
}

const exitConfig = 78

func (s *Settings) override(word string) error {
	name, value, ok := strings.Cut(word, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok {
		return usage("-o wants name=value, not " + strconv.Quote(word))
	}
	switch name {
	case "doveadm_socket_path":
		s.Socket = value
	case "doveadm_worker_count":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > 10000 {
			return usage("-o doveadm_worker_count wants a number up to 10000, not " + strconv.Quote(value))
		}
		s.Workers = n
	case "doveadm_port":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return usage("-o doveadm_port wants a port, or 0, not " + strconv.Quote(value))
		}
		s.Port = int(n)
	case "doveadm_ssl":
		s.Security = value
	case "doveadm_send_password_in_clear":
		if value != "yes" && value != "no" {
			return usage("-o doveadm_send_password_in_clear is yes or no")
		}
		s.InClear = value == "yes"
	case "ssl_client_ca_file":
		s.Authorities = value
	case "doveadm_username":
		s.Username = value
	case "doveadm_password_file":
		s.PasswordFile = value
	case "auth_socket_path":
		s.Auth = value
	default:
		return usage("-o cannot set " + strconv.Quote(name) + "; the command uses " + strings.Join(settingNames, ", "))
	}
	return nil
}

// workers is how many connections to a server are kept busy.
func (s *Settings) workers(at backend.Target) int {
	for _, name := range []string{at.Address, at.Host} {
		if n := s.Servers[name]; n > 0 && name != "" {
			return n
		}
	}
	if s.Workers > 0 {
		return s.Workers
	}
	return max(4, 2*runtime.NumCPU())
}

// password reads the password file, whose first line it is.
func (s *Settings) password() (string, error) {
	if s.PasswordFile == "" {
		return "", nil
	}
	f, err := os.Open(s.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("doveadm_password_file: %w", err)
	}
	defer f.Close()
	buf := make([]byte, maxPassword)
	n, err := f.Read(buf)
	if n == 0 {
		return "", fmt.Errorf("doveadm_password_file %s: %w", s.PasswordFile, err)
	}
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
