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

// refusal is what an error of ClickHouse means for what was tried.
type refusal struct {
	kind  refusalKind
	cause string // of refusalCauses, for the metric
	do    string // what a person can do about it; may be empty
}

type refusalKind uint8

const (
	passing   refusalKind = iota // try again: what is not known to be of another kind, too
	blocked                      // somebody has to put the server right: try again, and say so
	missing                      // the tables are gone: make them, then try again
	misfit                       // configuration and server do not fit: stop at start; later like blocked
	badValues                    // some of the rows cannot be stored
)

// Causes of refusals, as the metric names them.
const (
	causeUnreachable   = "unreachable"
	causeBusy          = "busy"
	causeReadOnly      = "read_only"
	causeRights        = "rights"
	causeDisk          = "disk"
	causeTable         = "table"
	causeSchema        = "schema"
	causeConfiguration = "configuration"
)

func refusalCauses() []string {
	return []string{causeUnreachable, causeBusy, causeReadOnly, causeRights, causeDisk, causeTable, causeSchema, causeConfiguration}
}

// judge says what an error means, and for one that does not pass what a person can do.
func judge(err error) refusal {
	if all, ok := errors.AsType[*allRefusedError](err); ok {
		return refusal{blocked, causeSchema, fmt.Sprintf("the table refuses every row, %d in a row: does it differ from what apiwarden makes (apiwarden store --print-schema), or has it a constraint or a materialized view that fails?", all.rows)}
	}
	if _, ok := errors.AsType[*buildError](err); ok {
		return refusal{kind: badValues, cause: causeSchema}
	}
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
	do := ""
	switch {
	case errors.As(err, &cert), errors.As(err, &host), errors.As(err, &issuer):
		do = "the server's certificate is not trusted: check clickhouse.tls.ca and the server's host name"
	case errors.As(err, &header), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		do = "the server does not speak TLS on this port: check clickhouse.tls.enabled and the port"
	case strings.Contains(err.Error(), "[handshake] unexpected packet"):
		do = "this port does not speak the native protocol: check clickhouse.protocol and the port"
	case strings.Contains(err.Error(), "malformed HTTP response"):
		do = "this port does not speak HTTP: check clickhouse.protocol and the port"
	default:
		return refusal{kind: passing, cause: causeUnreachable}
	}
	return refusal{misfit, causeConfiguration, do}
}

// judgeCode judges a code of ClickHouse (ErrorCodes.cpp). Among the passing ones are
// 159 timeout, 202 too many queries, 210 network, 241 memory limit, 252 too many
// parts, 319 unknown status of an insert, 999 Keeper: they are tried again for ever,
// like every lost connection.
func judgeCode(code int32) refusal {
	switch code {
	case 242: // the replica has lost its Keeper and will find it again
		return refusal{passing, causeReadOnly, "a replicated table is read-only while its Keeper is away"}
	case 164:
		return refusal{blocked, causeReadOnly, "the user or its profile is read-only: it needs the rights CREATE, ALTER, INSERT and SELECT on the database, and readonly = 0"}
	case 497, 291, 452: // a right is missing, a setting is not allowed
		return refusal{blocked, causeRights, "the user needs the rights CREATE, ALTER, INSERT and SELECT on the database, and a profile that lets it change settings"}
	case 243, 75: // no space is left to reserve, to write
		return refusal{blocked, causeDisk, "the server's disk is full: make room, or shorten clickhouse.ttl"}
	case 60, 81, 218: // unknown table or database, a table that is being dropped
		return refusal{missing, causeTable, "the tables are missing and are made again where the user has the right to"}
	case 16, 47, 10, 20, 44: // columns are not those that we made
		return refusal{blocked, causeSchema, "the table differs from what apiwarden makes: see apiwarden store --print-schema"}
	case 192, 193, 194, 516: // unknown user, wrong or missing password
		return refusal{misfit, causeConfiguration, "check clickhouse.username and the file named by clickhouse.password_file"}
	case 62, 46, 50, 115, 36: // syntax, unknown function, type or setting
		return refusal{misfit, causeConfiguration, "the server does not know what this version needs: ClickHouse 24.8 or later is required"}
	case 170, 701: // unknown cluster
		return refusal{misfit, causeConfiguration, "check clickhouse.cluster"}
	case 6, 26, 27, 38, 41, 43, 53, 69, 70, 72, 117, 131, 153, 321, 349, 395, 407, 441, 469, 676:
		// Values that cannot be parsed or converted, are out of bounds or too large, or
		// that a constraint or a materialized view of the table rejects.
		return refusal{kind: badValues, cause: causeSchema}
	}
	return refusal{kind: passing, cause: causeBusy}
}

// judgeStatus judges an answer that does not come from ClickHouse itself, or has no
// code: a proxy's 502 passes, a 400 does not.
func judgeStatus(e *clickhouse.HTTPError) refusal {
	switch e.StatusCode {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotFound:
		return refusal{misfit, causeConfiguration, "this port does not answer as ClickHouse does over HTTP: check clickhouse.protocol and the port"}
	case http.StatusUnauthorized, http.StatusForbidden:
		return refusal{misfit, causeConfiguration, "check clickhouse.username and the file named by clickhouse.password_file"}
	}
	return refusal{kind: passing, cause: causeUnreachable}
}

// buildError is an error of the driver, which does not take the values of some row.
type buildError struct{ err error }

func (e *buildError) Error() string { return "building the insert: " + e.err.Error() }

func (e *buildError) Unwrap() error { return e.err }

// allRefusedError says that a table has taken no row for so many that it is rather
// the table that is at fault.
type allRefusedError struct {
	rows int
	err  error
}

func (e *allRefusedError) Error() string { return e.err.Error() }

// interrupted tells the end of ctx from the timeout of one attempt.
func interrupted(ctx context.Context) bool { return ctx.Err() != nil }
