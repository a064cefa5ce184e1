"""Moving data: fetched with resume, merged by a policy, exported with checks."""
