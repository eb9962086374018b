// Every node of the groups that this tab's SPARKPLUG_GROUP names ("+": all).
return { action: "subscribe", topic: [{ topic: `spBv1.0/${env.get("SPARKPLUG_GROUP")}/#`, qos: 1 }] };
