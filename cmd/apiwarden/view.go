package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// runView draws scenes on a terminal until ctx ends or the person at it presses q
// or ^C; then it calls quit, once.
func runView(ctx context.Context, out io.Writer, look func() scene, quit func()) error {
	opts := []tea.ProgramOption{tea.WithAltScreen(), tea.WithOutput(out), tea.WithContext(ctx), tea.WithoutSignalHandler()}
	if !isTerminal(os.Stdin) {
		opts = append(opts, tea.WithInput(nil)) // nobody can press a key
	}
	p := tea.NewProgram(&view{look: look}, opts...)
	_, err := p.Run()
	quit()
	if ctx.Err() != nil || errors.Is(err, tea.ErrProgramKilled) {
		return nil
	}
	return err
}

// view is the bubbletea model of the demo: it holds the last scene and the size of
// the terminal, nothing else.
type view struct {
	look          func() scene
	scene         scene
	width, height int
}

type frame time.Time

const frameEvery = 250 * time.Millisecond

func nextFrame() tea.Cmd {
	return tea.Tick(frameEvery, func(t time.Time) tea.Msg { return frame(t) })
}

// Init implements tea.Model.
func (v *view) Init() tea.Cmd {
	v.scene = v.look()
	return nextFrame()
}

// Update implements tea.Model.
func (v *view) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		v.width, v.height = msg.Width, msg.Height
	case frame:
		v.scene = v.look()
		return v, nextFrame()
	case tea.KeyMsg:
		switch msg.String() {
		case "q", "Q", "ctrl+c", "esc":
			return v, tea.Quit
		}
	}
	return v, nil
}

// View implements tea.Model.
func (v *view) View() string {
	if v.width == 0 {
		return ""
	}
	return drawScene(v.scene, v.width, v.height)
}
