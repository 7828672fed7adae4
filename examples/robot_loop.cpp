// A robot's control loop with a policy that `export.py` wrote; it needs ONNX Runtime only. Each decision reads the
// sensors, runs the policy and moves.
//   g++ -std=c++17 -O2 -I$ORT/include examples/robot_loop.cpp -L$ORT/lib -lonnxruntime -o robot_loop
//   ./robot_loop policy.onnx
#include <algorithm>
#include <cstdio>
#include <vector>

#include <onnxruntime_cxx_api.h>

int main(int count, char** words) {
    if (count != 2) return std::fprintf(stderr, "usage: robot_loop policy.onnx\n"), 2;
    Ort::Env environment;
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    Ort::Session session(environment, words[1], options);
    auto shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
    shape[0] = 1;  // a batch of one
    size_t size = 1;
    for (auto side : shape) size *= side;
    std::vector<float> observation(size);  // for images: a vector of bytes, and a tensor of them
    auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    auto input = Ort::Value::CreateTensor<float>(memory, observation.data(), size, shape.data(), shape.size());
    const char *given = "observation", *wanted = "action";
    for (int decision = 0; decision < 3; ++decision) {
        std::fill(observation.begin(), observation.end(), 0.0f);  // instead, write the raw values of the sensors here
        auto outputs = session.Run(Ort::RunOptions{}, &given, &input, 1, &wanted, 1);
        auto about = outputs[0].GetTensorTypeAndShapeInfo();
        if (about.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64) {  // the number of a discrete action
            std::printf("%lld\n", static_cast<long long>(*outputs[0].GetTensorData<int64_t>()));
            continue;
        }
        const float* action = outputs[0].GetTensorData<float>();  // within the environment's bounds: move here
        for (size_t place = 0; place < about.GetElementCount(); ++place) std::printf("%g ", action[place]);
        std::puts("");
    }
}
