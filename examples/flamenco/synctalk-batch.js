// A job type of Flamenco 3: a batch of SyncTalk, a task a job. Copy it into the folder `scripts` of the Flamenco Manager
// (docs/batch.md); `submit.py` beside it sends a batch.
//
// Each task runs `python -m backend batch FILE --only JOB`. The job's lease and record make it safe to run a task again or on
// another worker. The last task runs `batch FILE`, which finds all done and writes the summary.

const JOB_TYPE = {
    label: "SyncTalk batch",
    description: "Many subjects, takes and deliveries of talking heads, from one TOML file",
    settings: [
        { key: "python", type: "string", required: true,
          description: "Python of the backend's environment, at the same place on every worker" },
        { key: "backend", type: "string", subtype: "dir_path", required: true,
          description: "Folder that holds the backend, at the same place on every worker" },
        { key: "batch", type: "string", subtype: "file_path", required: true,
          description: "The batch's TOML file, in a folder that all workers share" },
        { key: "out", type: "string", subtype: "dir_path", required: true,
          description: "The batch's folder, which all workers share" },
        { key: "jobs", type: "string", required: true,
          description: "JSON: of each job its name and the names that it needs, as submit.py sends them" },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    const tasks = {};
    for (const wanted of JSON.parse(settings.jobs)) {
        const task = taskOf(wanted.name, settings, ["--only", wanted.name]);
        for (const name of wanted.needs) {
            if (!tasks[name]) {
                throw new Error(wanted.name + " needs " + name + ", which comes before it in no list of jobs");
            }
            task.addDependency(tasks[name]);
        }
        tasks[wanted.name] = task;
        job.addTask(task);
    }
    const summary = taskOf("summary", settings, []);
    for (const name of Object.keys(tasks)) {
        summary.addDependency(tasks[name]);
    }
    job.addTask(summary);
}

function taskOf(name, settings, more) {
    const task = author.Task(name, "misc");
    // The command has no working folder: Python finds the backend by its path.
    const start = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('backend', run_name='__main__')";
    task.addCommand(author.Command("exec", {
        exe: settings.python,
        args: ["-c", start, settings.backend, "batch", settings.batch, "--out", settings.out].concat(more),
    }));
    return task;
}
