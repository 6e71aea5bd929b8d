from pathlib import Path


def test_try(kit, root):
    kit.import_tracking(root)
    kit.import_speech(root)
    jobs = kit.part("jobs")
    ex = kit.part("work.export")
    out = Path("/work/ws/interchange") / ("t%d%d" % __import__("bpy").app.version[:2])
    out.mkdir(exist_ok=True)
    kit.scene.render.fps = 30
    kit.scene.render.fps_base = 1.001
    for s in (".glb", ".usda", ".fbx"):
        print(jobs.run(ex.export_job(kit.scene, out / ("a b" + s), (3, 14))))
