package master

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"culver/internal/settings"
	"culver/internal/settings/finished"
	"culver/master/internal/rootexec"
)

// daemonProcs is how many threads of a daemon run Go at one time. The log has
// one writer. The others share the machine with the workers they cause, and a
// thread that is woken only to find nothing left to do costs more than it helps.
// A front that delivers itself waits for the disk as well, and holds a P each time.
func daemonProcs(service string, delivers bool) int {
	switch {
	case service == "log":
		return 1
	case delivers:
		return 2 * runtime.NumCPU()
	}
	return max(1, runtime.NumCPU()/2)
}

// fingerprint tells two sets of settings apart.
func fingerprint(bag finished.Bag, more ...any) string {
	h := sha256.New()
	h.Write(bag.Encode())
	fmt.Fprintf(h, "%+v", more)
	return string(h.Sum(nil))
}

// program is what every program of a service shares.
func (m *Master) program(cfg *settings.Config, s settings.Service, executable string, filter rootexec.Filter) rootexec.Program {
	return rootexec.Program{
		Service:    s.Name,
		Path:       filepath.Join(m.libexec(cfg), executable),
		Spawner:    filepath.Join(m.libexec(cfg), "culver-spawn"),
		SpawnerLog: m.stderr,
		Filter:     filter,
		Sandbox:    sandboxes[cfg.Global.String("sandbox")],
		Keep:       m.keep != nil,
		Logf:       func(format string, args ...any) { m.log.Warn(fmt.Sprintf(format, args...)) },
	}
}

var sandboxes = map[string]rootexec.Sandbox{
	"required":    rootexec.SandboxRequired,
	"best-effort": rootexec.SandboxBestEffort,
	"off":         rootexec.SandboxOff,
}

// libexec is libexec_dir, or the folder of the binary that runs.
func (m *Master) libexec(cfg *settings.Config) string {
	if dir := cfg.Global.String("libexec_dir"); dir != "" {
		return dir
	}
	exe, err := os.Executable()
	if err != nil {
		return "."
	}
	return filepath.Dir(exe)
}

// identity is whom a daemon runs as.
func (m *Master) identity(s settings.Service) rootexec.Identity {
	if m.keep != nil {
		return *m.keep
	}
	return rootexec.Identity{UID: s.User.UID, GID: s.User.GID, Groups: s.Groups}
}

// complete adds what only the master can know.
func (m *Master) complete(bag finished.Bag, cfg *settings.Config) error {
	if name, ok := bag["hostname"]; ok && name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("hostname is not set, and the host has no name: %w", err)
		}
		bag["hostname"] = host
	}
	if zone, err := os.ReadFile("/etc/localtime"); err == nil && len(zone) < finished.MaxSize/4 {
		bag["zoneinfo"] = string(zone)
	} else {
		bag["zoneinfo"] = "" // UTC
	}
	if bag["ssl"] == "yes" || bag["ssl"] == "required" {
		for key, setting := range map[string]string{"ssl_cert_pem": "ssl_cert", "ssl_key_pem": "ssl_key"} {
			pem, err := os.ReadFile(cfg.Global.String(setting)) // as root; read here, parsed by the front
			if err != nil {
				return fmt.Errorf("%s: %w", setting, err)
			}
			bag[key] = string(pem)
		}
	}
	if bag["lmtp_proxy"] == "yes" {
		var err error
		if bag["ssl_client_ca_pem"], err = authorities(cfg); err != nil {
			return err
		}
	}
	return nil
}

// usualAuthorities is where systems keep the certificates that they trust.
var usualAuthorities = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// authorities reads ssl_client_ca_file, for a front whose box has no such files.
func authorities(cfg *settings.Config) (string, error) {
	if path := cfg.Global.String("ssl_client_ca_file"); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			err = fmt.Errorf("ssl_client_ca_file: %w", err)
		}
		return string(pem), err
	}
	for _, path := range usualAuthorities {
		if pem, err := os.ReadFile(path); err == nil && len(pem) < finished.MaxSize/2 {
			return string(pem), nil
		}
	}
	return "", nil // then nobody's certificate counts
}

// daemonPaths are what a daemon may reach in the file system. Folders and not
// files where a file is replaced by another of its name. Sockets need no leave.
func daemonPaths(cfg *settings.Config, service string) (read, write []string) {
	switch service {
	case "log":
		for _, name := range []string{"log_path", "info_log_path", "debug_log_path", "audit_log_path"} {
			if path := cfg.Global.String(name); filepath.IsAbs(path) {
				write = append(write, filepath.Dir(path))
			}
		}
		return []string{"/etc/localtime", "/usr/share/zoneinfo"}, write
	case "auth":
		read = []string{"/etc"} // passwd and group
		for _, db := range slices.Concat(cfg.Passdbs, cfg.Userdbs) {
			if path := db.Values["path"]; path != "" {
				fixed, _, _ := strings.Cut(path, "%") // what stands before the first variable
				read = append(read, filepath.Dir(fixed))
			}
		}
		return read, nil
	case "lmtp":
		write = []string{cfg.Global.String("spool_dir")}
		if frontDelivers(cfg) {
			write = append(write, cfg.Global.String("mail_root"))
		}
		return []string{"/proc"}, write // /proc/self/fd: a spool is opened again for reading
	}
	return nil, nil
}

// frontDelivers tells whether the front saves mail itself: lmtp_reproxy =
// uid-differs, for users of its own uid below mail_root. Anywhere else that
// setting means always.
func frontDelivers(cfg *settings.Config) bool {
	return cfg.Global.String("lmtp_reproxy") == "uid-differs" && cfg.Global.String("mail_root") != ""
}

// addDeliver gives such a front what a worker would have: under "deliver/".
func (m *Master) addDeliver(bag finished.Bag, cfg *settings.Config) error {
	deliver := settings.For(cfg, "lmtp-deliver")
	if err := m.complete(deliver, cfg); err != nil {
		return err
	}
	for k, v := range deliver {
		bag["deliver/"+k] = v
	}
	for _, name := range []string{"mail_location", "mail_root", "mail_home_create", "mail_mount_marker"} {
		bag[name] = cfg.Global.String(name)
	}
	return nil
}
