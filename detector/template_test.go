package detector

import (
	"slices"
	"strings"
	"testing"
)

func mustEndpoints(t testing.TB, texts ...string) []EndpointPattern {
	t.Helper()
	var patterns []EndpointPattern
	for _, text := range texts {
		p, err := ParseEndpoint(text)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	return patterns
}

func TestEndpointPattern(t *testing.T) {
	const path, route = false, true
	for _, c := range []struct {
		pattern, method, path string
		isTemplate, want      bool
	}{
		{"GET /api", "GET", "/api", path, true},
		{"GET /api", "POST", "/api", path, false},
		{"GET /api", "GET", "/API", path, false},
		{"GET /api", "GET", "/api/", path, false},
		{"GET /api/", "GET", "/api/", path, true},
		{"GET /api/", "GET", "/api", path, false},
		{"* /api", "PROPFIND", "/api", path, true},
		{"GET /", "GET", "/", path, true},
		{"GET /", "GET", "/a", path, false},
		{"GET /a//b", "GET", "/a//b", path, true},
		{"GET /a//b", "GET", "/a/b", path, false},

		{"GET /api/*/export", "GET", "/api/users/export", path, true},
		{"GET /api/*/export", "GET", "/api/export", path, false},
		{"GET /api/*/export", "GET", "/api//export", path, false},
		{"GET /api/*/export", "GET", "/api/a/b/export", path, false},
		{"* /api/*", "GET", "/api/a", path, true},
		{"* /api/*", "GET", "/api/a/b", path, false},
		{"* /api/*", "GET", "/api/", path, false},
		{"* /api/*", "GET", "/api/{id}", route, true},
		{"* /api/*", "GET", "/api/list", route, true},
		{"* /api/**", "GET", "/api/a/b", path, true},
		{"* /api/**", "GET", "/api/a", path, true},
		{"* /api/**", "GET", "/api/", path, true},
		{"* /api/**", "GET", "/api", path, true},
		{"* /api/**", "GET", "/apis", path, false},
		{"* /**", "GET", "/", path, true},
		{"* /**", "OPTIONS", "*", path, true},
		{"* /*", "OPTIONS", "*", path, false},
		{"GET /*/**", "GET", "/a/b/c", path, true},

		{"GET /users/{id}", "GET", "/users/17", path, true},
		{"GET /users/{id}", "GET", "/users/me", path, true},
		{"GET /users/{id}", "GET", "/users/", path, false},
		{"GET /users/{id}", "GET", "/users/17/x", path, false},
		{"GET /users/{id}", "GET", "/users/{id}", route, true},
		{"GET /users/{id}", "GET", "/users/{user_id}", route, true},
		{"GET /users/{id}", "GET", "/users/:id", route, true},
		{"GET /users/{id}", "GET", "/users/<int:id>", route, true},
		{"GET /users/{id}", "GET", "/users/*", route, true},
		{"GET /users/{id}", "GET", "/users/{id:[0-9]+}", route, true},
		{"GET /users/{id}", "GET", "/users/me", route, false},
		{"GET /users/{id}", "GET", "users/{id}", route, true},
		{"GET /users/:id", "GET", "/users/{x}", route, true},
		{"GET /users/<id>", "GET", "/users/17", path, true},
		{"GET /users/me", "GET", "/users/{id}", route, false},
		{"GET /f/{name}.json", "GET", "/f/a.json", path, true},
		{"GET /f/{name}.json", "GET", "/f/.json", path, false},
		{"GET /f/{name}.json", "GET", "/f/a.xml", path, false},
		{"GET /f/{name}.json", "GET", "/f/{n}.json", route, true},
		{"GET /f/{name}.json", "GET", "/f/{n}.xml", route, false},
		{"GET /f/{name}.json", "GET", "/f/a.json", route, false},
		{"GET /@{user}", "GET", "/@ann", path, true},
		{"GET /v1/users:batch", "GET", "/v1/users:batch", path, true},
	} {
		p := mustEndpoints(t, c.pattern)[0]
		if got := p.Match([]byte(c.method), []byte(c.path), c.isTemplate); got != c.want {
			t.Errorf("%s on %s %s (template: %v): %v", c.pattern, c.method, c.path, c.isTemplate, got)
		}
	}
}

func TestTemplates(t *testing.T) {
	ts := NewTemplates(mustEndpoints(t,
		"GET /users/{id}", "GET /users/me", "* /users/{user}/orders", "GET /users/{id}/orders/{order}",
		"* /users/{anyone}", "GET /static/**", "GET /static/{file}.js", "GET /static/app.js", "GET /", "POST /a/*/c", "GET /a/b/{x}",
		"GET /v/{a}/x", "GET /v/b/y", "GET /r/**", "GET /r/{x}/z",
	), mustEndpoints(t, "GET /users/self", "* /users/me", "POST /users/{x}/self", "GET /static/app.js"))
	for in, want := range map[string]string{
		"GET /users/17":          "/users/{id}",
		"GET /users/me":          "/users/me",
		"POST /users/me":         "", // a rule is about it
		"GET /users/self":        "",
		"POST /users/self":       "/users/{anyone}",
		"POST /users/17":         "/users/{anyone}",
		"GET /users/":            "",
		"GET /users":             "",
		"DELETE /users/9/orders": "/users/{user}/orders",
		"GET /users/9/orders/8":  "/users/{id}/orders/{order}",
		"GET /users/9/bills":     "",
		"GET /static/a/b/c.css":  "/static/**",
		"GET /static":            "/static/**",
		"GET /static/x.js":       "/static/{file}.js",
		"GET /static/app.js":     "/static/app.js",
		"GET /":                  "/",
		"POST /":                 "",
		"POST /a/b/c":            "/a/*/c",
		"GET /a/b/c":             "/a/b/{x}",
		"GET /v/b/x":             "/v/{a}/x", // the literal part leads nowhere
		"GET /v/b/y":             "/v/b/y",
		"GET /r/1/2":             "/r/**",
		"GET /r/1/z":             "/r/{x}/z",
		"OPTIONS *":              "",
	} {
		method, path, _ := strings.Cut(in, " ")
		got, ok := ts.Map([]byte("key "), []byte(method), []byte(path))
		if ok != (want != "") || string(got) != "key "+want {
			t.Errorf("%s: %q, %v, want %q", in, got, ok, want)
		}
	}
	if _, ok := (*Templates)(nil).Map(nil, []byte("GET"), []byte("/a")); ok {
		t.Error("no templates map nothing")
	}
}

// The order in which templates are written decides nothing.
func TestTemplatesDoNotDependOnOrder(t *testing.T) {
	patterns := mustEndpoints(t, "GET /a/{x}", "* /a/b", "GET /a/**", "GET /a/{x}.js", "GET /a/{x}.min.js")
	paths := []string{"/a/b", "/a/c", "/a/c/d", "/a/c.js", "/a/c.min.js", "/a"}
	want := []string{"/a/b", "/a/{x}", "/a/**", "/a/{x}.js", "/a/{x}.min.js", "/a/**"}
	for range len(patterns) {
		patterns = append(patterns[1:], patterns[0])
		ts := NewTemplates(slices.Clone(patterns), nil)
		for i, path := range paths {
			if got, _ := ts.Map(nil, []byte("GET"), []byte(path)); string(got) != want[i] {
				t.Errorf("%s: %s, want %s", path, got, want[i])
			}
		}
	}
}

func TestFold(t *testing.T) {
	f := NewFolder(nil, nil)
	for in, want := range map[string]string{
		"/":               "/",
		"":                "",
		"/users/1/orders": "/users/{id}/orders",
		"/users/4444":     "/users/{id}",
		"/users/17/":      "/users/{id}/",
		"/1/2/3":          "/{id}/{id}/{id}",
		"//7//":           "//{id}//",
		"/v1/users":       "/v1/users",
		"/n/-5":           "/n/{id}",
		"/n/+5":           "/n/{id}",
		"/n/3.14":         "/n/{id}",
		"/n/2026-01-31":   "/n/{id}",
		"/n/10.0.0.1":     "/n/{id}",
		"/n/1,2,3":        "/n/{id}",
		"/n/.5":           "/n/.5",
		"/n/-":            "/n/-",
		"/n/...":          "/n/...",
		"/u/550e8400-e29b-41d4-a716-446655440000": "/u/{id}",
		"/u/550E8400-E29B-41D4-A716-446655440000": "/u/{id}",
		"/u/550e8400-e29b-41d4-a716-44665544000g": "/u/550e8400-e29b-41d4-a716-44665544000g",
		"/u/550e8400e29b41d4a716446655440000":     "/u/{id}",
		"/o/507f1f77bcf86cd799439011":             "/o/{id}",
		"/h/deadbeefcafe0001":                     "/h/{id}",
		"/h/deadbeefcafe001":                      "/h/deadbeefcafe001", // 15
		"/h/deadbeefcafebabe":                     "/h/deadbeefcafebabe",
		"/l/01ARZ3NDEKTSV4RRFFQ69G5FAV":           "/l/{id}",
		"/l/01arz3ndektsv4rrffq69g5fav":           "/l/{id}",
		"/l/81ARZ3NDEKTSV4RRFFQ69G5FAV":           "/l/81ARZ3NDEKTSV4RRFFQ69G5FAV",
		"/l/01ARZ3NDEKTSV4RRFFQ69G5FAI":           "/l/01ARZ3NDEKTSV4RRFFQ69G5FAI",
		"/a/{id}/b":                               "/a/{id}/b",
		"/item-17":                                "/item-17",
		"/page2":                                  "/page2",
		"/é/17":                                   "/é/{id}",
		"17":                                      "{id}",
	} {
		if got := string(f.Fold(nil, []byte(in))); got != want {
			t.Errorf("%s folds to %s, want %s", in, got, want)
		}
		if got := string(f.Fold(nil, []byte(want))); got != want {
			t.Errorf("folded %s folds again to %s", want, got)
		}
	}
}

func TestFoldLeavesWhatIsSpelledOut(t *testing.T) {
	f := NewFolder(mustEndpoints(t, "GET /reports/2024/{month}", "* /2fa/0", "GET /{x}/404"), NewTemplates(mustEndpoints(t, "GET /v/1.0/**"), nil))
	for in, want := range map[string]string{
		"/reports/2024/7": "/reports/2024/{id}",
		"/reports/2025/7": "/reports/{id}/{id}",
		"/reports/7/2024": "/reports/{id}/{id}",
		"/archive/2024/7": "/archive/{id}/{id}",
		"/2fa/0":          "/2fa/0",
		"/2fb/0":          "/2fb/{id}",
		"/any/404":        "/any/404",
		"/any/405":        "/any/{id}",
		"//404":           "//{id}",
		"/any/404/404":    "/any/404/{id}",
		"/v/1.0/users/9":  "/v/1.0/users/{id}",
		"/v/1.1/users/9":  "/v/{id}/users/{id}",
	} {
		if got := string(f.Fold(nil, []byte(in))); got != want {
			t.Errorf("%s folds to %s, want %s", in, got, want)
		}
	}
}

func TestPathsAreMappedWithoutAllocating(t *testing.T) {
	patterns := mustEndpoints(t, "GET /users/{id}/orders", "* /static/**", "GET /reports/2024/{month}", "GET /f/{name}.json")
	ts := NewTemplates(patterns, patterns)
	f := NewFolder(patterns, ts)
	dst := make([]byte, 0, 256)
	method, path := []byte("GET"), []byte("/reports/2024/550e8400-e29b-41d4-a716-446655440000")
	if n := testing.AllocsPerRun(100, func() {
		ts.Map(dst, method, path)
		f.Fold(dst, path)
		for i := range patterns {
			patterns[i].Match(method, path, false)
			patterns[i].Match(method, path, true)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFold(b *testing.B) {
	f := NewFolder(nil, nil)
	path := []byte("/api/v1/users/550e8400-e29b-41d4-a716-446655440000/orders/17")
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		f.Fold(dst, path)
	}
}

func BenchmarkTemplates(b *testing.B) {
	var texts []string
	for _, a := range strings.Fields("users orders bills items carts pages posts likes") {
		for _, z := range strings.Fields("list show edit copy move") {
			texts = append(texts, "GET /api/"+a+"/{id}/"+z)
		}
	}
	ts := NewTemplates(mustEndpoints(b, texts...), nil)
	method, path := []byte("GET"), []byte("/api/items/1234/edit")
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := ts.Map(dst, method, path); !ok {
			b.Fatal("not mapped")
		}
	}
}
