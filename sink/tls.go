package sink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLSConfig says how a connection is encrypted. All paths are PEM files.
type TLSConfig struct {
	Enabled bool   `yaml:"enabled" doc:"encrypt the connection with TLS"`
	CA      string `yaml:"ca" doc:"PEM file of the authorities to trust; empty: those of the system"`
	Cert    string `yaml:"cert" doc:"PEM file of the client certificate; empty: none is shown"`
	Key     string `yaml:"key" doc:"PEM file of the client certificate's key"`
}

// Validate reports contradictions; it reads no file.
func (c TLSConfig) Validate() error {
	var errs []error
	if (c.Cert == "") != (c.Key == "") {
		errs = append(errs, errors.New("tls.cert and tls.key belong together: set both or none"))
	}
	if !c.Enabled && (c.CA != "" || c.Cert != "" || c.Key != "") {
		errs = append(errs, errors.New("tls.enabled is false, but tls.ca, tls.cert or tls.key is set: enable it or remove them"))
	}
	return errors.Join(errs...)
}

// Config reads the files and gives what crypto/tls needs, nil where TLS is not
// enabled.
func (c TLSConfig) Config() (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("reading tls.ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading tls.ca: %s holds no PEM certificate", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("reading tls.cert and tls.key: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
