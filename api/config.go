package api

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// HTTPConfig is the section http of the configuration.
type HTTPConfig struct {
	Listen   string `yaml:"listen" doc:"address (host:port) that each role listens on; port 0 takes a free one"`
	KeysFile string `yaml:"keys_file" doc:"file with API keys; refused by this version, which does not check keys yet and therefore listens on loopback addresses only"`
}

// DefaultHTTPConfig listens on this machine.
func DefaultHTTPConfig() HTTPConfig { return HTTPConfig{Listen: "127.0.0.1:8080"} }

// Validate reports every problem at once. It reads no file.
func (c HTTPConfig) Validate() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("http.listen is %q: use host:port, as in 127.0.0.1:8080", c.Listen)
	}
	var errs []error
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		errs = append(errs, fmt.Errorf("http.listen is %q: %q is no port number", c.Listen, port))
	}
	if c.KeysFile != "" {
		errs = append(errs, errors.New("http.keys_file: this version does not check API keys; leave it empty and listen on a loopback address"))
	}
	if !loopback(host) {
		errs = append(errs, fmt.Errorf("http.listen is %q: without API keys only a loopback address may be listened on, such as 127.0.0.1:8080", c.Listen))
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
