package sink

import "testing"

func TestInstance(t *testing.T) {
	c := DefaultKafkaConfig()
	c.InstanceID = "node-1"
	for group, want := range map[string]string{"apiwarden": "node-1", "apiwarden-store": "node-1-store"} {
		if got := c.Instance(group); got != want {
			t.Errorf("the name in %s is %q, want %q", group, got, want)
		}
	}
}
