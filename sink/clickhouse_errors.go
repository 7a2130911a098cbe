package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// BadRow is a row that ClickHouse refuses for ever. Index counts in what was given
// to the insert.
type BadRow struct {
	Index int
	Err   error
}

// BadRows is the error of an insert of which every other row is stored: dead-letter
// these and go on.
type BadRows []BadRow

func (b BadRows) Error() string {
	return fmt.Sprintf("%d rows are refused by clickhouse, the first (row %d): %v", len(b), b[0].Index, b[0].Err)
}

// verdictOn is what an error of ClickHouse means for what was tried.
type verdictOn uint8

const (
	passing   verdictOn = iota // try again: what is not known to be of another kind, too
	hopeless                   // stop and say so
	badValues                  // some of the rows cannot be stored
)

// judge says what an error means, and for a hopeless one what a person can do.
//
// Codes are those of ClickHouse (ErrorCodes.cpp). Among the passing ones are 159
// timeout, 202 too many queries, 210 network, 241 memory limit, 242 read-only table
// (its Keeper is away), 252 too many parts, 319 unknown status of an insert, 999
// Keeper: they are tried again for ever, like every lost connection.
func judge(err error) (verdictOn, string) {
	if ex, ok := errors.AsType[*clickhouse.Exception](err); ok {
		return judgeCode(ex.Code)
	}
	if he, ok := errors.AsType[*clickhouse.HTTPError](err); ok {
		return judgeStatus(he)
	}
	var (
		cert   *tls.CertificateVerificationError
		header tls.RecordHeaderError
		host   x509.HostnameError
		issuer x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &cert), errors.As(err, &host), errors.As(err, &issuer):
		return hopeless, "the server's certificate is not trusted: check clickhouse.tls.ca and the server's host name"
	case errors.As(err, &header), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return hopeless, "the server does not speak TLS on this port: check clickhouse.tls.enabled and the port"
	case strings.Contains(err.Error(), "[handshake] unexpected packet"):
		return hopeless, "this port does not speak the native protocol: check clickhouse.protocol and the port"
	case strings.Contains(err.Error(), "malformed HTTP response"):
		return hopeless, "this port does not speak HTTP: check clickhouse.protocol and the port"
	}
	return passing, ""
}

func judgeCode(code int32) (verdictOn, string) {
	switch code {
	case 192, 193, 194, 516: // unknown user, wrong or missing password
		return hopeless, "check clickhouse.username and the file named by clickhouse.password_file"
	case 497, 291, 164: // a right is missing, read-only user
		return hopeless, "the user needs the rights CREATE, ALTER, INSERT and SELECT on the database"
	case 60, 81: // unknown table or database
		return hopeless, "the tables are missing: were they dropped? a restart makes them again"
	case 16, 47, 53, 10, 20: // unknown column or type mismatch: the table is not as we made it
		return hopeless, "the table differs from what apiwarden makes: see apiwarden store --print-schema"
	case 62, 46, 50, 115, 36: // syntax, unknown function, type or setting
		return hopeless, "the server does not know what this version needs: ClickHouse 24.8 or later is required"
	case 170, 701: // unknown cluster
		return hopeless, "check clickhouse.cluster"
	case 6, 26, 27, 38, 41, 43, 69, 70, 72, 117, 131, 321, 349, 395, 407, 441, 469, 676:
		// Values that cannot be parsed or converted, are out of bounds or too large, or
		// that a constraint of the table rejects.
		return badValues, ""
	}
	return passing, ""
}

// judgeStatus judges an answer that does not come from ClickHouse itself, or has no
// code: a proxy's 502 passes, a 400 does not.
func judgeStatus(e *clickhouse.HTTPError) (verdictOn, string) {
	switch e.StatusCode {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotFound:
		return hopeless, "this port does not answer as ClickHouse does over HTTP: check clickhouse.protocol and the port"
	case http.StatusUnauthorized, http.StatusForbidden:
		return hopeless, "check clickhouse.username and the file named by clickhouse.password_file"
	}
	return passing, ""
}

// interrupted tells the end of ctx from the timeout of one attempt.
func interrupted(ctx context.Context) bool { return ctx.Err() != nil }
